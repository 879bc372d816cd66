"""What the file system port promises of a loss of power, on those that can lose theirs."""

import random
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import StorageFailed
from akidb_ray.storage.memory_disk import Keep
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem

HERE = PurePosixPath()
A = PurePosixPath("a")
DEEP = PurePosixPath("one/two")


@pytest.fixture(params=[MemoryFileSystem, FaultyFileSystem])
def fs(request: pytest.FixtureRequest) -> MemoryFileSystem:
    made: MemoryFileSystem = request.param()
    return made


def _after(fs: MemoryFileSystem, keep: Keep, seed: int = 0) -> MemoryFileSystem:
    return fs.power_loss(keep, random.Random(seed))


def _produce(content: bytes) -> Callable[[str], None]:
    def write(scratch: str) -> None:
        Path(scratch).write_bytes(content)

    return write


def _outcomes(prepare: Callable[[], MemoryFileSystem]) -> set[bytes | None]:
    """What `a` may be after a loss of power that keeps some of what was not synced."""
    found = set()
    for seed in range(60):
        left = _after(prepare(), Keep.SOME, seed)
        found.add(left.read(A) if left.exists(A) else None)
    return found


@pytest.mark.parametrize("keep", Keep)
def test_what_was_synced_is_there_with_its_name(fs: MemoryFileSystem, keep: Keep) -> None:
    fs.create_directory(DEEP)
    fs.write(DEEP / "a", [b"written"])
    fs.import_file(DEEP / "b", _produce(b"imported"))
    fs.copy_in(DEEP / "c", fs, DEEP / "a")
    file = fs.append(DEEP / "d")
    file.write([b"app"])
    file.write([b"ended"])
    file.sync()
    fs.sync_directory(DEEP)
    fs.replace(DEEP / "e", b"replaced")
    left = _after(fs, keep)
    assert left.list(DEEP) == ["a", "b", "c", "d", "e"]
    contents = [left.read(DEEP / name) for name in left.list(DEEP)]
    assert contents == [b"written", b"imported", b"written", b"appended", b"replaced"]


@pytest.mark.parametrize("operation", ["write", "import_file", "copy_in", "append"])
def test_name_needs_a_sync_of_its_directory(fs: MemoryFileSystem, operation: str) -> None:
    def make() -> None:
        if operation == "write":
            fs.write(A, [b"content"])
        elif operation == "import_file":
            fs.import_file(A, _produce(b"content"))
        elif operation == "copy_in":
            source = MemoryFileSystem()
            source.write(A, [b"content"])
            fs.copy_in(A, source, A)
        else:
            file = fs.append(A)
            file.write([b"content"])
            file.sync()

    make()
    fs = _after(fs, Keep.SYNCED)
    assert fs.list(HERE) == []
    make()
    fs.sync_directory(HERE)
    assert _after(fs, Keep.SYNCED).read(A) == b"content"


def test_former_file_is_there_until_the_directory_is_synced(fs: MemoryFileSystem) -> None:
    fs.replace(A, b"former")
    fs.import_file(A, _produce(b"imported"))
    assert fs.read(A) == b"imported"
    assert _after(fs, Keep.SYNCED).read(A) == b"former"


def test_directory_is_there_at_once(fs: MemoryFileSystem) -> None:
    fs.create_directory(DEEP)
    assert _after(fs, Keep.SYNCED).exists(DEEP)


def test_what_was_appended_and_not_synced_is_lost(fs: MemoryFileSystem) -> None:
    file = fs.append(A)
    file.write([b"synced"])
    file.sync()
    fs.sync_directory(HERE)
    file.write([b" and not"])
    assert fs.read(A) == b"synced and not"
    left = _after(fs, Keep.SYNCED)
    assert left.read(A) == b"synced"
    file = left.append(A)
    file.write([b" again"])
    file.sync()
    assert _after(left, Keep.SYNCED).read(A) == b"synced again"


def test_removal_is_lost_until_the_directory_is_synced(fs: MemoryFileSystem) -> None:
    fs.replace(A, b"content")
    fs.remove(A)
    fs = _after(fs, Keep.SYNCED)
    assert fs.read(A) == b"content"
    fs.remove(A)
    fs.sync_directory(HERE)
    assert not _after(fs, Keep.SYNCED).exists(A)


def test_tree_is_gone_for_good(fs: MemoryFileSystem) -> None:
    fs.create_directory(DEEP)
    fs.replace(DEEP / "a", b"content")
    fs.remove_tree(PurePosixPath("one"))
    assert _after(fs, Keep.SYNCED).list(HERE) == []


def test_tree_that_is_gone_already_is_gone_for_good(fs: MemoryFileSystem) -> None:
    fs.create_directory(DEEP)
    # As by a process that was killed before it synced what it had removed.
    fs.disk.remove_directory(fs.root / DEEP)
    fs.remove_tree(DEEP)
    assert _after(fs, Keep.SYNCED).list(DEEP.parent) == []


@pytest.mark.parametrize("end", [Keep.SYNCED, Keep.EVERYTHING])
def test_empty_directory_is_gone_for_good(fs: MemoryFileSystem, end: Keep) -> None:
    fs.create_directory(DEEP)
    fs.remove_empty_directory(DEEP)
    assert _after(fs, end).list(DEEP.parent) == []


def test_empty_directory_that_is_gone_already_is_gone_for_good(fs: MemoryFileSystem) -> None:
    fs.create_directory(DEEP)
    fs.disk.remove_directory(DEEP)
    fs.remove_empty_directory(DEEP)
    assert _after(fs, Keep.SYNCED).list(DEEP.parent) == []


def test_cut_is_there_for_good(fs: MemoryFileSystem) -> None:
    fs.replace(A, b"content")
    fs.truncate(A, 3)
    assert _after(fs, Keep.SYNCED).read(A) == b"con"


def test_killed_process_loses_nothing(fs: MemoryFileSystem) -> None:
    file = fs.append(A)
    file.write([b"in the page cache"])
    fs = _after(fs, Keep.EVERYTHING)
    assert fs.read(A) == b"in the page cache"
    # It is no more durable than it was.
    assert _after(fs, Keep.SYNCED).list(HERE) == []


def test_some_of_what_was_not_synced_may_be_kept(fs: MemoryFileSystem) -> None:
    def prepare() -> MemoryFileSystem:
        made = type(fs)()
        file = made.append(A)
        file.write([b"sure"])
        file.sync()
        made.sync_directory(HERE)
        file.write([b"maybe"])
        return made

    found = _outcomes(prepare)
    assert {b"sure", b"suremaybe"} <= found
    assert all(content is not None and content.startswith(b"sure") for content in found)
    # Some of the blocks only: the end without what is before it.
    assert any(
        content and content.startswith(b"sure\0") and content[-1:] == b"e" for content in found
    )


def test_name_that_was_not_synced_may_be_kept(fs: MemoryFileSystem) -> None:
    def prepare() -> MemoryFileSystem:
        made = type(fs)()
        made.write(A, [b"content"])
        return made

    assert _outcomes(prepare) == {None, b"content"}


def test_replacing_is_never_seen_in_part(fs: MemoryFileSystem) -> None:
    def prepare() -> MemoryFileSystem:
        made = type(fs)()
        made.replace(A, b"former")
        made.import_file(A, _produce(b"later"))
        return made

    assert _outcomes(prepare) == {b"former", b"later"}


def test_lock_is_free_after_the_end(fs: MemoryFileSystem) -> None:
    lock = fs.lock(A, 0.0)
    left = _after(fs, Keep.EVERYTHING)
    held = left.lock(A, 0.0)
    lock.release()
    held.release()


def test_what_is_left_is_out_of_reach_of_the_past(fs: MemoryFileSystem) -> None:
    file = fs.append(A)
    file.write([b"content"])
    left = _after(fs, Keep.EVERYTHING)
    past: list[Callable[[], object]] = [
        lambda: file.write([b"late"]),
        file.sync,
        lambda: fs.write(A, [b"late"]),
        lambda: fs.remove(A),
    ]
    for use in past:
        # The faulty one goes on raising what ended its process.
        with pytest.raises(BaseException) as ended:  # noqa: PT011
            use()
        assert isinstance(ended.value, StorageFailed) or type(ended.value).__name__ == "Stopped"
    assert left.read(A) == b"content"


def test_view_of_a_directory_stays_one(fs: MemoryFileSystem) -> None:
    inner = fs.subtree(DEEP)
    inner.create_directory(HERE)
    inner.replace(A, b"content")
    assert _after(inner, Keep.SYNCED).read(A) == b"content"
