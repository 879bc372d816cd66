"""What the file system port promises to the processes that use it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import pytest

from akidb_ray.domain.errors import NotFound, StorageFailed, Unavailable
from akidb_ray.storage.filesystem import FileSystem

HERE = PurePosixPath()
A = PurePosixPath("a")
DEEP = PurePosixPath("one/two")


def _produce(content: bytes) -> Callable[[str], None]:
    def write(scratch: str) -> None:
        Path(scratch).write_bytes(content)

    return write


def test_written_file_is_read_and_mapped(fs: FileSystem) -> None:
    fs.write(A, [b"one ", bytearray(b"two"), memoryview(b"!")])
    assert fs.exists(A)
    assert fs.size_bytes(A) == 8
    assert fs.read(A) == b"one two!"
    assert bytes(fs.map(A)) == b"one two!"
    fs.write(A, [])
    assert fs.read(A) == b""
    assert len(fs.map(A)) == 0


def test_rows_of_an_array_are_written_as_they_are(fs: FileSystem) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    fs.write(A, [rows.data])
    file = fs.append(A)
    file.write([rows.data, b"end"])
    file.close()
    assert fs.read(A) == rows.tobytes() * 2 + b"end"


def test_mapping_is_read_only(fs: FileSystem) -> None:
    fs.write(A, [b"content"])
    assert fs.map(A).readonly


@pytest.mark.parametrize("end", ["remove", "remove_tree", "replace", "import_file", "copy_in"])
def test_mapping_stays_good_after_the_end_of_its_file(fs: FileSystem, end: str) -> None:
    fs.create_directory(DEEP)
    fs.write(DEEP / "a", [b"content"])
    fs.write(A, [b"other"])
    mapped = fs.map(DEEP / "a")
    ends: dict[str, Callable[[], None]] = {
        "remove": lambda: fs.remove(DEEP / "a"),
        "remove_tree": lambda: fs.remove_tree(PurePosixPath("one")),
        "replace": lambda: fs.replace(DEEP / "a", b"other"),
        "import_file": lambda: fs.import_file(DEEP / "a", _produce(b"other")),
        "copy_in": lambda: fs.copy_in(DEEP / "a", fs, A),
    }
    ends[end]()
    assert fs.exists(DEEP / "a") == (not end.startswith("remove"))
    assert bytes(mapped) == b"content"


def test_time_of_the_last_change_is_known(fs: FileSystem) -> None:
    fs.write(A, [b"content"])
    assert abs(fs.modified_at(A) - time.time()) < 60


def test_names_are_listed_in_order(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.write(DEEP / "b", [b""])
    fs.write(DEEP / "a", [b""])
    assert fs.list(DEEP) == ["a", "b"]
    assert fs.list(PurePosixPath("missing")) == []


def test_directory_may_be_made_twice(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.create_directory(DEEP)
    assert fs.exists(DEEP)


def test_directory_is_not_made_where_a_file_is(fs: FileSystem) -> None:
    fs.write(A, [b"content"])
    for path in (A, A / "below"):
        with pytest.raises(StorageFailed):
            fs.create_directory(path)
    assert fs.read(A) == b"content"


def test_appending_goes_on_at_the_end(fs: FileSystem) -> None:
    file = fs.append(A)
    file.write([b"one", b""])
    file.sync()
    file.close()
    file = fs.append(A)
    assert file.size_bytes == 3
    file.write([b"two"])
    assert file.size_bytes == 6
    file.close()
    assert fs.read(A) == b"onetwo"


def test_closed_file_takes_no_more(fs: FileSystem) -> None:
    file = fs.append(A)
    file.write([b"kept"])
    file.close()
    file.close()
    uses: list[Callable[[], None]] = [lambda: file.write([b"more"]), file.sync]
    for use in uses:
        with pytest.raises(StorageFailed):
            use()
    assert fs.read(A) == b"kept"


def test_truncating_cuts(fs: FileSystem) -> None:
    fs.write(A, [b"content"])
    fs.truncate(A, 3)
    assert fs.read(A) == b"con"
    file = fs.append(A)
    file.write([b"!"])
    file.close()
    assert fs.read(A) == b"con!"


def test_replacing_leaves_one_file(fs: FileSystem) -> None:
    fs.replace(A, b"old")
    fs.replace(A, b"new")
    assert fs.read(A) == b"new"
    assert fs.list(HERE) == ["a"]


def test_import_takes_what_a_library_wrote(fs: FileSystem) -> None:
    fs.import_file(A, _produce(b"by a library"))
    assert fs.read(A) == b"by a library"
    assert fs.list(HERE) == ["a"]
    assert Path(fs.library_path(A)).read_bytes() == b"by a library"


def test_library_path_has_the_content_of_now(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.write(DEEP / "a", [b"former"])
    fs.library_path(DEEP / "a")
    fs.replace(DEEP / "a", b"content")
    fs.write(A, [b"another"])
    paths = [fs.library_path(DEEP / "a"), fs.library_path(A)]
    assert [Path(path).read_bytes() for path in paths] == [b"content", b"another"]


def test_failed_import_leaves_nothing(fs: FileSystem) -> None:
    def produce(scratch: str) -> None:
        Path(scratch).write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fs.import_file(A, produce)
    assert fs.list(HERE) == []
    fs.write(A, [b"former"])
    with pytest.raises(ZeroDivisionError):
        fs.import_file(A, produce)
    assert fs.read(A) == b"former"
    assert fs.list(HERE) == ["a"]


def test_error_of_the_system_in_an_import_is_ours(fs: FileSystem) -> None:
    def refuse(scratch: str) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(StorageFailed):
        fs.import_file(A, refuse)
    with pytest.raises(NotFound):
        fs.import_file(A, lambda scratch: None)
    assert fs.list(HERE) == []


def test_file_of_another_file_system_is_copied_in(fs: FileSystem, source: FileSystem) -> None:
    source.create_directory(DEEP)
    for content in (b"content", b"", b"other"):
        source.write(DEEP / "b", [content])
        fs.copy_in(A, source.subtree(DEEP), PurePosixPath("b"))
        assert fs.read(A) == content
    source.write(DEEP / "b", [b"changed"])
    assert fs.read(A) == b"other"
    assert fs.list(HERE) == ["a"]


def test_copying_what_is_missing_changes_nothing(fs: FileSystem, source: FileSystem) -> None:
    fs.write(A, [b"former"])
    with pytest.raises(NotFound, match="not-there"):
        fs.copy_in(A, source, PurePosixPath("not-there"))
    assert fs.read(A) == b"former"
    assert fs.list(HERE) == ["a"]


def test_removing_what_is_gone_is_fine(fs: FileSystem) -> None:
    fs.remove(A)
    fs.remove_tree(A)


def test_tree_is_removed_with_all_in_it(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.write(DEEP / "a", [b""])
    fs.remove_tree(PurePosixPath("one"))
    assert fs.list(HERE) == []


def test_directory_is_removed_when_it_is_empty(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.write(A, [b"content"])
    fs.remove_empty_directory(PurePosixPath("one"))
    assert fs.exists(DEEP), "there was a directory in it"
    fs.write(DEEP / "a", [b"content"])
    fs.remove_empty_directory(DEEP)
    assert fs.read(DEEP / "a") == b"content"
    fs.remove(DEEP / "a")
    for path in (DEEP, DEEP, PurePosixPath("one"), DEEP):
        fs.remove_empty_directory(path)
    assert fs.list(HERE) == ["a"]
    with pytest.raises(StorageFailed):
        fs.remove_empty_directory(A)
    assert fs.read(A) == b"content"


def test_directory_is_made_while_its_empty_parents_are_removed(fs: FileSystem) -> None:
    def make_and_remove(number: int) -> None:
        for _ in range(30):
            path = DEEP / str(number)
            fs.create_directory(path)
            fs.write(path / "a", [b""])
            fs.remove_tree(path)
            fs.remove_empty_directory(DEEP)
            fs.remove_empty_directory(DEEP.parent)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make_and_remove, range(4)))
    assert fs.list(HERE) == []


def test_subtree_removes_itself(fs: FileSystem) -> None:
    inner = fs.subtree(DEEP)
    inner.create_directory(HERE)
    inner.write(A, [b""])
    inner.remove_tree(HERE)
    assert fs.list(HERE) == ["one"]
    assert fs.list(PurePosixPath("one")) == []


def test_file_and_directory_are_not_taken_for_each_other(fs: FileSystem) -> None:
    fs.create_directory(DEEP)
    fs.write(A, [b"content"])
    uses: list[Callable[[], object]] = [
        lambda: fs.read(DEEP),
        lambda: fs.map(DEEP),
        lambda: fs.write(DEEP, [b""]),
        lambda: fs.append(DEEP),
        lambda: fs.remove(DEEP),
        lambda: fs.remove_tree(A),
        lambda: fs.sync_directory(A),
    ]
    for use in uses:
        with pytest.raises(StorageFailed):
            use()
    assert fs.exists(DEEP)
    assert fs.read(A) == b"content"


def test_missing_file_is_not_found(fs: FileSystem) -> None:
    assert not fs.exists(A)
    for use in (fs.read, fs.map, fs.size_bytes, fs.modified_at):
        with pytest.raises(NotFound):
            use(A)
    with pytest.raises(NotFound):
        fs.truncate(A, 0)


def test_missing_directory_is_not_found(fs: FileSystem) -> None:
    fs.write(A, [b""])
    path = DEEP / "a"
    uses: list[Callable[[], object]] = [
        lambda: fs.write(path, [b""]),
        lambda: fs.append(path),
        lambda: fs.replace(path, b""),
        lambda: fs.import_file(path, _produce(b"")),
        lambda: fs.copy_in(path, fs, A),
        lambda: fs.lock(path, 0.0),
        lambda: fs.sync_directory(DEEP),
    ]
    for use in uses:
        with pytest.raises(NotFound):
            use()


def test_subtree_sees_its_directory_and_makes_nothing(fs: FileSystem) -> None:
    inner = fs.subtree(DEEP)
    assert fs.list(HERE) == []
    inner.create_directory(HERE)
    inner.write(A, [b"inside"])
    assert fs.read(DEEP / "a") == b"inside"
    assert fs.subtree(PurePosixPath("one")).subtree(PurePosixPath("two")).read(A) == b"inside"


def test_lock_excludes_and_can_be_taken_after_release(fs: FileSystem) -> None:
    lock = fs.lock(A, 0.0)
    with pytest.raises(Unavailable):
        fs.lock(A, 0.0)
    lock.release()
    fs.lock(A, 0.0).release()


def test_lock_that_was_released_frees_no_other(fs: FileSystem) -> None:
    first = fs.lock(A, 0.0)
    first.release()
    second = fs.lock(A, 0.0)
    first.release()
    with pytest.raises(Unavailable):
        fs.lock(A, 0.0)
    second.release()


def test_lock_of_a_file_is_the_same_from_a_subtree_and_another_file_has_another(
    fs: FileSystem,
) -> None:
    fs.create_directory(DEEP)
    lock = fs.lock(DEEP / "a", 0.0)
    with pytest.raises(Unavailable):
        fs.subtree(DEEP).lock(A, 0.0)
    fs.lock(A, 0.0).release()
    lock.release()
    fs.subtree(DEEP).lock(A, 0.0).release()


def test_lock_waits_for_its_holder(fs: FileSystem) -> None:
    lock = fs.lock(A, 0.0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(fs.lock, A, 60.0)
        lock.release()
        waiting.result().release()


def test_free_space_is_known(fs: FileSystem) -> None:
    assert fs.free_bytes() > 0


def test_every_thread_may_use_it(fs: FileSystem) -> None:
    def work(number: int) -> None:
        here = PurePosixPath(f"{number % 2}/{number}")
        fs.create_directory(here)
        file = fs.append(here / "log")
        for n in range(5):
            fs.replace(here / f"{n}", b"%d" % n)
            file.write([b"%d" % n])
            file.sync()
        file.close()

    def content(path: PurePath) -> bytes:
        return b"".join(fs.read(path / name) for name in fs.list(path))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    for number in range(8):
        assert content(PurePosixPath(f"{number % 2}/{number}")) == b"01234" * 2
