"""The file system that the tests of the shard stop: it counts every step, and stops for good."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from akidb_ray.domain.errors import StorageFailed
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.crash.faulty_filesystem import FaultyFileSystem, Keep, Stopped, run_until

HERE = PurePosixPath()
A = PurePosixPath("a")
DEEP = PurePosixPath("one/two")


@pytest.fixture
def fs() -> FaultyFileSystem:
    fs = FaultyFileSystem()
    fs.create_directory(DEEP)
    fs.replace(A, b"former")
    fs.machine.steps.clear()
    return fs


def _produce(scratch: str) -> None:
    Path(scratch).write_bytes(b"new")


def _source() -> MemoryFileSystem:
    source = MemoryFileSystem()
    source.write(A, [b"content"])
    return source


STEPS: dict[str, tuple[Callable[[FaultyFileSystem], object], list[str]]] = {
    "replace": (
        lambda fs: fs.replace(A, b"new"),
        ["create a.scratch", "write a.scratch", "sync a.scratch", "rename a", "syncdir ."],
    ),
    "write": (
        lambda fs: fs.subtree(DEEP).write(A, [b"new"]),
        ["create one/two/a", "write one/two/a", "sync one/two/a"],
    ),
    "write again": (lambda fs: fs.write(A, [b"new"]), ["truncate a", "write a", "sync a"]),
    "import_file": (
        lambda fs: fs.import_file(A, _produce),
        ["create a.scratch", "write a.scratch", "sync a.scratch", "rename a"],
    ),
    "copy_in": (
        lambda fs: fs.copy_in(A, _source(), A),
        ["create a.scratch", "write a.scratch", "sync a.scratch", "rename a"],
    ),
    "truncate": (lambda fs: fs.truncate(A, 3), ["truncate a", "sync a"]),
    "remove": (lambda fs: fs.remove(A), ["remove a"]),
    "remove_tree": (
        lambda fs: fs.remove_tree(PurePosixPath("one")),
        ["rmdir one/two", "rmdir one", "syncdir ."],
    ),
    "create_directory": (
        lambda fs: fs.create_directory(DEEP / "three"),
        ["mkdir one/two/three", "syncdir one/two"],
    ),
    "append": (lambda fs: fs.append(DEEP / "log").write([b"x"]), ["create", "write"]),
    "looking": (
        lambda fs: (fs.read(A), fs.map(A), fs.list(HERE), fs.exists(A), fs.modified_at(A)),
        [],
    ),
}


@pytest.mark.parametrize("operation", STEPS)
def test_operation_has_the_steps_of_a_real_one(fs: FaultyFileSystem, operation: str) -> None:
    use, expected = STEPS[operation]
    use(fs)
    assert len(fs.machine.steps) == len(expected)
    for step, start in zip(fs.machine.steps, expected, strict=True):
        assert step.startswith(start)


@pytest.mark.parametrize("keep", Keep)
def test_replacing_stopped_anywhere_leaves_one_of_both(keep: Keep) -> None:
    stop_at, ended = 0, False
    while not ended:
        fs = FaultyFileSystem()
        fs.replace(A, b"former")
        taken = len(fs.machine.steps)
        ended = run_until(fs.machine, taken + stop_at, lambda fs=fs: fs.replace(A, b"new"))
        left = fs.machine.after_end(keep, seed=stop_at).read(A)
        assert left in ((b"new",) if ended else (b"former", b"new"))
        stop_at += 1
    assert stop_at == 6


def test_write_under_way_is_torn_once_and_the_end_is_for_good(fs: FaultyFileSystem) -> None:
    file = fs.append(DEEP / "log")
    file.write([b"whole"])
    assert not run_until(fs.machine, len(fs.machine.steps), lambda: file.write([b"half", b"lost"]))
    uses: list[Callable[[], None]] = [
        lambda: file.write([b"late"]),
        file.sync,
        lambda: fs.remove(A),
    ]
    for use in uses:
        with pytest.raises(Stopped):
            use()
    left = fs.machine.after_end(Keep.EVERYTHING)
    with pytest.raises(Stopped):
        file.write([b"very late"])
    assert left.read(DEEP / "log") == b"wholehalf"
    assert left.machine.steps == []
    left.replace(A, b"goes on")


def test_what_happens_before_a_step_may_use_the_same_disk(fs: FaultyFileSystem) -> None:
    seen: list[str] = []

    def meanwhile(step: str) -> None:
        seen.append(step)
        if step == "rename a":
            fs.machine.before_step = lambda _: None
            fs.write(DEEP / "meanwhile", [fs.read(A)])

    fs.machine.before_step = meanwhile
    fs.replace(A, b"new")
    assert seen[-1] == "rename a"
    assert fs.read(DEEP / "meanwhile") == b"former"
    assert fs.read(A) == b"new"


def test_what_a_failed_sync_did_not_write_is_seen_and_never_written(fs: FaultyFileSystem) -> None:
    def fail(step: str) -> None:
        if step.startswith("sync "):
            fs.machine.before_step = lambda _: None
            raise StorageFailed("I/O error")

    file = fs.append(A)
    file.write([b" lost"])
    fs.machine.before_step = fail
    with pytest.raises(StorageFailed):
        file.sync()
    file.write([b" kept"])
    file.sync()
    assert fs.read(A) == b"former lost kept"
    assert fs.machine.after_end(Keep.SYNCED).read(A) == b"former\0\0\0\0\0 kept"
