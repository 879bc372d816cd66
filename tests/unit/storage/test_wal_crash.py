"""What a log is after its writer stopped anywhere, and after any byte of it changed."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from akidb_ray.domain.errors import Corrupt, StorageFailed
from akidb_ray.storage import wal as wal_module
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.wal import Retention, Wal
from akidb_ray.storage.wal_format import FILE_HEADER_BYTES, RECORD_HEADER_BYTES
from akidb_ray.storage.wal_reader import LoggedGroup
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, run_until
from tests.unit.storage.logs import (
    FIRST,
    Found,
    append,
    bodies,
    closed_log,
    flip,
    groups,
    new_log,
    paths,
    read,
    reopened,
)


@dataclass
class History:
    """What a writer did: all groups it appended, the last position it was told, how many groups
    are durable, and up to which record a checkpoint holds them.
    """

    given: Found = field(default_factory=list)
    told: int = 0
    durable: int = 0
    checkpoint: int = 0

    def play(self, fs: FileSystem) -> None:
        """Two openings, the first of which does not end well. Files fill up, and some go."""
        wal = reopened(fs)
        self.append(wal, b"a", b"b", sync=True)
        self.append(wal, b"c" * 40)
        self.append(wal, b"d", b"d", b"d", sync=True)
        self.append(wal, b"e" * 60, b"f", sync=True)
        self.append(wal, b"g")
        wal = reopened(fs)
        self.append(wal, b"h" * 70, b"i")
        self.append(wal, b"j" * 50)
        self.append(wal, b"k", b"l", sync=True)
        wal.rotate()
        self.checkpoint = self.given[-2][0]
        wal.drop_through(self.checkpoint, Retention(age_s=0.0), now=1e12)
        self.append(wal, b"m")

    def append(self, wal: Wal, *group: bytes, sync: bool = False) -> None:
        # The log may hold a group although its writer never heard of it.
        self.given.append((wal.last_sequence + len(group), group))
        self.told = append(wal, *group)
        assert self.told == self.given[-1][0]
        if sync:
            wal.sync()
            self.durable = len(self.given)

    def check(self, left: FileSystem) -> None:
        """What is left is the durable groups, and perhaps more of those that were appended."""
        skipped = sum(sequence <= self.checkpoint for sequence, _ in self.given)
        found = read(left, self.checkpoint)
        assert found == self.given[skipped : skipped + len(found)]
        assert skipped + len(found) >= self.durable
        del self.given[skipped + len(found) :]

    def check_and_go_on(self, left: FileSystem) -> None:
        self.check(left)
        wal = reopened(left, self.checkpoint)
        assert wal.last_sequence >= self.told, "no position is given twice"
        self.append(wal, b"next", b"one", sync=True)
        self.check(left)


@pytest.fixture
def fs() -> FaultyFileSystem:
    return FaultyFileSystem()


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal_module, "ROTATE_BYTES", 300)


@pytest.mark.parametrize("keep", Keep)
@pytest.mark.usefixtures("small_files")
def test_synced_groups_survive_wherever_it_stops(keep: Keep) -> None:
    stop_at, ended = 0, False
    while not ended:
        for seed in range(6 if keep is Keep.SOME else 1):
            fs, history = FaultyFileSystem(), History()
            ended = run_until(fs.machine, stop_at, lambda fs=fs, h=history: h.play(fs))
            history.check_and_go_on(fs.machine.after_end(keep, seed))
        stop_at += 1
    assert stop_at > 40


@pytest.mark.parametrize("keep", Keep)
@pytest.mark.usefixtures("small_files")
def test_synced_groups_survive_an_operation_that_fails_and_a_power_loss(keep: Keep) -> None:
    fail_at, failed = 0, True
    while failed:
        fs, history = FaultyFileSystem(), History()
        failed = _fails(fs, history, fail_at)
        # The owner reopens the log from disk, page cache and all. Then the power goes.
        history.check_and_go_on(fs)
        history.check_and_go_on(fs.machine.after_end(keep, fail_at))
        fail_at += 1
    assert fail_at > 40


def _fails(fs: FaultyFileSystem, history: History, fail_at: int) -> bool:
    """Whether the history meets the failure of step number `fail_at`."""

    def fail(_: str) -> None:
        if len(fs.machine.steps) == fail_at:
            raise StorageFailed("I/O error")

    fs.machine.before_step = fail
    try:
        history.play(fs)
    except StorageFailed:
        return True
    finally:
        fs.machine.before_step = lambda _: None
    return False


def test_groups_are_whole_or_absent_at_every_length_of_the_file(fs: FaultyFileSystem) -> None:
    new_log(fs, b"one", [b"two", b"three"], [b"", b"five", b"six"], sync=False).close()
    content = fs.read(FIRST)
    whole = read(fs)
    ends = [FILE_HEADER_BYTES]
    for _, group in whole:
        ends.append(ends[-1] + sum(RECORD_HEADER_BYTES + len(body) for body in group))
    assert ends[-1] == len(content)
    for length in range(FILE_HEADER_BYTES, len(content) + 1):
        fs.write(FIRST, [content[:length]])
        kept = sum(end <= length for end in ends) - 1
        assert read(fs) == whole[:kept]
        assert fs.size_bytes(FIRST) == ends[kept], "the torn group is cut"
    for length in range(FILE_HEADER_BYTES):
        # A file never is without its header, so this was no power loss.
        fs.write(FIRST, [content[:length]])
        with pytest.raises(Corrupt):
            read(fs)


def test_torn_tail_is_cut_at_every_length_and_the_log_goes_on(fs: FaultyFileSystem) -> None:
    wal = new_log(fs, b"one", b"two")
    whole = fs.size_bytes(FIRST)
    append(wal, b"the last ones,", b"never acknowledged")
    wal.close()
    content = fs.read(FIRST)
    for length in range(whole, len(content)):
        fs.write(FIRST, [content[:length]])
        again = reopened(fs)
        append(again, b"next")
        again.close()
        assert bodies(fs) == [b"one", b"two", b"next"]
        fs.remove(paths(fs)[-1])


def test_every_flipped_byte_of_a_closed_log_is_found_unless_it_is_not_read(
    fs: FaultyFileSystem,
) -> None:
    end = closed_log(fs)
    for after in (0, 3, 5, end):
        whole = groups(fs, after, end)
        for path in paths(fs):
            content = fs.read(path)
            for offset, bit in itertools.product(range(len(content)), (0x01, 0x80)):
                flip(fs, path, offset, bit)
                damaged = fs.read(path)
                found = _groups_or_stopped(fs, after, end)
                if isinstance(found, Corrupt):
                    assert found.fields["file"] == str(path)
                else:
                    assert after > 0
                    assert found == whole
                assert fs.read(path) == damaged, "nothing may be cut"
                fs.write(path, [content])


def _groups_or_stopped(fs: FileSystem, after: int, known_end: int) -> list[LoggedGroup] | Corrupt:
    try:
        return groups(fs, after, known_end)
    except Corrupt as stopped:
        return stopped


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda _: b""])
def test_length_of_a_closed_log_is_checked(
    fs: FaultyFileSystem, damage: Callable[[bytes], bytes]
) -> None:
    end = closed_log(fs)
    for path in paths(fs)[:-1]:
        content = fs.read(path)
        fs.write(path, [damage(content)])
        with pytest.raises(Corrupt):
            read(fs, known_end=end)
        fs.write(path, [content])
