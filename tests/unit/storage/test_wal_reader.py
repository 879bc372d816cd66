import struct
from dataclasses import replace
from pathlib import Path

import pytest

from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.wal_format import (
    CONTINUES,
    DIRECTORY,
    FILE_HEADER_BYTES,
    LEAP,
    RECORD_HEADER_BYTES,
    FileHeader,
    RecordHeader,
    RecordKind,
    encode_file_header,
    encode_record_header,
    file_name,
)
from akidb_ray.storage.wal_reader import FileScan, WalReader, scan_file
from tests.unit.storage.logs import (
    FIRST,
    WRITTEN_AT,
    append,
    bodies,
    closed_log,
    damage,
    flip,
    last_sequence,
    new_log,
    paths,
    read,
    reopened,
)

SALT = 7


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path)


def _header(sequence: int, body: bytes = b"", salt: int = SALT, **fields: int) -> RecordHeader:
    header = RecordHeader(
        kind=RecordKind.UPSERT,
        flags=0,
        epoch=3,
        sequence=sequence,
        synced_to=sequence - 1,
        written_at=WRITTEN_AT,
        body_bytes=len(body),
        body_checksum=crc32c(body, start=salt),
    )
    return replace(header, **fields)


def _record(sequence: int, body: bytes = b"", salt: int = SALT, **fields: int) -> bytes:
    return encode_record_header(_header(sequence, body, salt, **fields), salt) + body


def _write_file(fs: OsFileSystem, first: int, previous: int, *records: bytes) -> None:
    fs.create_directory(DIRECTORY)
    header = encode_file_header(FileHeader(first, previous, SALT))
    fs.write(file_name(first), [header, *records])


def test_flipped_byte_in_synced_record_is_corrupt_with_file_and_offset(fs: OsFileSystem) -> None:
    new_log(fs, b"one", b"two", b"three").close()
    second = FILE_HEADER_BYTES + RECORD_HEADER_BYTES + len(b"one")
    third = second + RECORD_HEADER_BYTES + len(b"two")
    content = fs.read(FIRST)
    for offset in range(third):
        flip(fs, FIRST, offset)
        with pytest.raises(Corrupt) as stopped:
            read(fs)
        start = 0 if offset < FILE_HEADER_BYTES else FILE_HEADER_BYTES
        assert stopped.value.fields["file"] == str(FIRST)
        assert stopped.value.fields["offset"] == (second if offset >= second else start)
        fs.write(FIRST, [content])


def test_tail_of_zeros_is_cut(fs: OsFileSystem) -> None:
    new_log(fs, b"one").close()
    damage(fs, FIRST, lambda content: content.extend(bytes(5000)))
    assert bodies(fs) == [b"one"]


def test_torn_group_is_cut_whole_from_its_start(fs: OsFileSystem) -> None:
    wal = new_log(fs, b"synced")
    append(wal, b"whole, and not synced")
    start = fs.size_bytes(FIRST)
    append(wal, b"a" * 50, b"b" * 50, b"c" * 50)
    append(wal, b"whole, but behind a gap")
    wal.close()

    def lose_a_block(content: bytearray) -> None:
        content[start + 130 : start + 180] = bytes(50)

    damage(fs, FIRST, lose_a_block)
    assert bodies(fs) == [b"synced", b"whole, and not synced"]
    assert fs.size_bytes(FIRST) == start


def test_group_that_is_not_closed_is_a_torn_tail(fs: OsFileSystem) -> None:
    _write_file(fs, 1, 0, _record(1, b"one"), _record(2, b"two", flags=CONTINUES))
    assert read(fs) == [(1, (b"one",))]
    assert fs.size_bytes(FIRST) == FILE_HEADER_BYTES + RECORD_HEADER_BYTES + 3


@pytest.mark.parametrize("said_by", ["clean close", "checkpoint", "next file", "later header"])
def test_group_that_is_not_closed_but_was_synced_is_corrupt(fs: OsFileSystem, said_by: str) -> None:
    records = [_record(1, b"one"), _record(2, b"two", flags=CONTINUES)]
    if said_by == "later header":
        records += [b"damaged", _record(4, b"four", synced_to=3)]
    _write_file(fs, 1, 0, *records)
    if said_by == "next file":
        _write_file(fs, 4, 3, _record(4, b"four"))
    size_bytes = fs.size_bytes(FIRST)
    with pytest.raises(Corrupt) as stopped:
        read(
            fs,
            after=3 if said_by == "checkpoint" else 0,
            known_end=3 if said_by == "clean close" else 0,
        )
    assert stopped.value.fields["file"] == str(FIRST)
    assert fs.size_bytes(FIRST) == size_bytes, "nothing may be cut"


@pytest.mark.parametrize("length", [0, 5, FILE_HEADER_BYTES, 60, 100, 110, 140])
def test_log_shorter_than_at_its_clean_close_is_corrupt(fs: OsFileSystem, length: int) -> None:
    new_log(fs, b"one", b"two").close()
    fs.write(FIRST, [fs.read(FIRST)[:length]])
    with pytest.raises(Corrupt):
        read(fs, known_end=2)


def test_missing_log_is_corrupt_when_it_was_closed_with_records(fs: OsFileSystem) -> None:
    with pytest.raises(Corrupt, match="records 1 to 2 are missing"):
        read(fs, known_end=2)
    assert read(fs, after=2, known_end=2) == []


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_file_is_corrupt(fs: OsFileSystem, missing: int) -> None:
    closed_log(fs)
    fs.remove(paths(fs)[missing])
    with pytest.raises(Corrupt):
        read(fs)


def test_missing_end_of_a_file_that_another_follows_is_corrupt(fs: OsFileSystem) -> None:
    closed_log(fs)
    whole = FILE_HEADER_BYTES + RECORD_HEADER_BYTES + len(b"one")
    fs.truncate(FIRST, whole)
    with pytest.raises(Corrupt, match=r"goes on after record 3, .* ends with record 1"):
        read(fs)


def test_file_from_another_log_is_corrupt(fs: OsFileSystem) -> None:
    _write_file(fs, 1, 0, _record(1), _record(2), _record(3))
    _write_file(fs, 4 + LEAP, 2, _record(4 + LEAP))
    with pytest.raises(Corrupt, match=r"goes on after record 2, .* ends with record 3"):
        read(fs)


def test_log_that_starts_after_the_checkpoint_is_corrupt(fs: OsFileSystem) -> None:
    end = closed_log(fs)
    fs.remove(FIRST)
    assert [sequence for sequence, _ in read(fs, after=3)] == [4, 5, end]
    with pytest.raises(Corrupt, match="the log starts after record 3"):
        read(fs, after=2)


def test_files_below_the_checkpoint_are_not_read(fs: OsFileSystem) -> None:
    end = closed_log(fs)
    for path in paths(fs)[:2]:
        fs.write(path, [b"rubbish"])
    assert read(fs, after=5) == [(end, (b"first half", b"second half"))]
    assert last_sequence(fs, after=end) == end
    with pytest.raises(Corrupt):
        read(fs, after=4)


@pytest.mark.parametrize("name", ["x.wal", "1.wal", "-00000000001.wal", "0000000000001.wal"])
def test_name_that_is_no_sequence_is_corrupt(fs: OsFileSystem, name: str) -> None:
    new_log(fs, b"one").close()
    fs.write(DIRECTORY / name, [fs.read(FIRST)])
    with pytest.raises(Corrupt, match="no sequence") as stopped:
        read(fs)
    assert stopped.value.fields["file"] == f"wal/{name}"


def test_file_under_another_name_is_corrupt(fs: OsFileSystem) -> None:
    new_log(fs, b"one").close()
    fs.write(file_name(2), [fs.read(FIRST)])
    fs.remove(FIRST)
    with pytest.raises(Corrupt, match="starts with record 1") as stopped:
        read(fs)
    assert stopped.value.fields["file"] == str(file_name(2))


@pytest.mark.parametrize("rest", [b"", encode_file_header(FileHeader(2, 1, SALT)), b"torn" * 20])
def test_damage_before_another_file_is_corrupt_whatever_is_in_that(
    fs: OsFileSystem, rest: bytes
) -> None:
    # A file is started only after all before it was synced, so that it is there says enough.
    new_log(fs, b"one").close()
    fs.write(file_name(2), [rest])
    flip(fs, FIRST, FILE_HEADER_BYTES + RECORD_HEADER_BYTES)
    with pytest.raises(Corrupt):
        read(fs)
    assert paths(fs) == [FIRST, file_name(2)]


def test_file_that_got_no_record_is_whole(fs: OsFileSystem) -> None:
    new_log(fs, b"one").close()
    _write_file(fs, 2 + LEAP, 1)
    assert bodies(fs) == [b"one"]
    assert last_sequence(fs) == 1 + LEAP
    wal = reopened(fs)
    assert append(wal, b"two") == 2 + 2 * LEAP
    wal.close()
    assert bodies(fs) == [b"one", b"two"]


@pytest.mark.parametrize("fields", [{"kind": 9}, {"flags": 0b10}, {"flags": 1 << 16}])
def test_header_that_no_writer_of_this_format_writes_is_corrupt_even_at_the_end(
    fs: OsFileSystem, fields: dict[str, int]
) -> None:
    _write_file(fs, 1, 0, _record(1, b"one"), _record(2, b"two", **fields))
    with pytest.raises(Corrupt, match="not known") as stopped:
        read(fs)
    assert stopped.value.fields["file"] == str(FIRST)
    assert stopped.value.fields["offset"] == FILE_HEADER_BYTES + RECORD_HEADER_BYTES + 3


def test_log_of_a_later_version_is_refused_and_not_changed(fs: OsFileSystem) -> None:
    new_log(fs, b"one").close()

    def make_newer(content: bytearray) -> None:
        content[8:12] = struct.pack("<I", 2)
        fields = bytes(content[: FILE_HEADER_BYTES - 4])
        content[FILE_HEADER_BYTES - 4 : FILE_HEADER_BYTES] = struct.pack("<I", crc32c(fields))

    damage(fs, FIRST, make_newer)
    content = fs.read(FIRST)
    with pytest.raises(InvalidState, match="of format 2"):
        read(fs)
    assert fs.read(FIRST) == content


@pytest.mark.parametrize("salt", [0, SALT + 1])
def test_header_hidden_in_a_document_is_not_believed(fs: OsFileSystem, salt: int) -> None:
    # Were it believed, it would say that the torn record had been synced.
    hidden = _record(9, b"hidden", salt, synced_to=8)
    torn = _record(2, b"text " + hidden + b" more text")[:-1]
    _write_file(fs, 1, 0, _record(1, b"one"), torn)
    assert bodies(fs) == [b"one"]
    # Under the file's own salt it is, which shows that the test would find it.
    torn = _record(2, b"text " + _record(9, b"hidden", synced_to=8) + b" more text")[:-1]
    _write_file(fs, 1, 0, _record(1, b"one"), torn)
    with pytest.raises(Corrupt):
        read(fs)


def test_writers_choose_another_salt_for_each_file(fs: OsFileSystem) -> None:
    closed_log(fs)
    assert len({scan_file(fs, path).salt for path in paths(fs)}) == 3


def test_scan_shows_every_record_of_a_file(fs: OsFileSystem) -> None:
    closed_log(fs)
    scan = scan_file(fs, FIRST)
    assert (scan.path, scan.size_bytes) == (FIRST, fs.size_bytes(FIRST))
    assert (scan.first, scan.previous) == (1, 0)
    assert (scan.problem, scan.problem_offset) == (None, None)
    assert [record.sequence for record in scan.records] == [1, 2, 3]
    assert [record.continues for record in scan.records] == [False, True, False]
    assert [record.synced_to for record in scan.records] == [0, 1, 1]
    assert [record.body_bytes for record in scan.records] == [3, 3, 5]
    last = scan.records[-1]
    assert (last.kind, last.epoch, last.written_at) == (RecordKind.UPSERT, 3, WRITTEN_AT)
    assert last.offset + RECORD_HEADER_BYTES + last.body_bytes == scan.size_bytes
    leapt = scan_file(fs, paths(fs)[-1])
    assert (leapt.first, leapt.previous) == (6 + LEAP, 5)


def test_scan_says_where_and_why_it_stopped_and_changes_nothing(fs: OsFileSystem) -> None:
    def scan_of(*records: bytes) -> FileScan:
        _write_file(fs, 1, 0, *records)
        content = fs.read(FIRST)
        scan = scan_file(fs, FIRST)
        assert fs.read(FIRST) == content
        return scan

    whole = _record(1, b"one")
    end = FILE_HEADER_BYTES + len(whole)
    for rest, problem in [
        (b"torn", "no valid header"),
        (_record(2, b"two")[:-1], "cut short"),
        (_record(2, b"two")[:-1] + b"x", "body of record 2 is damaged"),
        (_record(3, b"three"), "record 3 is where 2 should be"),
        (_record(2, b"two", kind=9), "kind 9"),
        (_record(2, b"two", flags=CONTINUES), "not closed"),
    ]:
        scan = scan_of(whole, rest)
        assert problem in str(scan.problem)
        assert scan.problem_offset == end
        assert scan.records[0].sequence == 1


@pytest.mark.parametrize("length", [0, 5, FILE_HEADER_BYTES - 1])
def test_scan_of_a_file_without_a_header_says_so(fs: OsFileSystem, length: int) -> None:
    new_log(fs, b"one").close()
    fs.write(FIRST, [fs.read(FIRST)[:length]])
    assert scan_file(fs, FIRST) == FileScan(
        FIRST, length, 0, 0, 0, (), "its file header is damaged", 0
    )
    with pytest.raises(Corrupt, match="file header"):
        next(WalReader(fs, 0).groups())
