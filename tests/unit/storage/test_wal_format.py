import struct

import pytest

from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.wal_format import (
    CONTINUES,
    FILE_HEADER_BYTES,
    RECORD_HEADER_BYTES,
    FileHeader,
    RecordHeader,
    RecordKind,
    decode_file_header,
    decode_record_header,
    encode_file_header,
    encode_record_header,
    file_name,
)

SALT = 0x01020304
FILE = FileHeader(first=65_540, previous=3, salt=SALT)
RECORD = RecordHeader(
    kind=RecordKind.ATTACH,
    flags=CONTINUES,
    epoch=2,
    sequence=65_540,
    synced_to=65_539,
    written_at=1_700_000_000.25,
    body_bytes=5,
    body_checksum=0xAABBCCDD,
)
PATH = file_name(FILE.first)


def _other_format(number: int) -> bytes:
    fields = encode_file_header(FILE)[:-4]
    fields = fields[:8] + struct.pack("<I", number) + fields[12:]
    return fields + struct.pack("<I", crc32c(fields))


def test_format_1_stays_as_it_is() -> None:
    assert str(PATH) == "wal/000000065540.wal"
    assert encode_file_header(FILE).hex(" ", 4) == (
        "414b4944 4257414c 01000000 04030201 04000100 00000000 03000000 00000000 4d91df85"
    )
    assert encode_record_header(RECORD, SALT).hex(" ", 4) == (
        "a657526b 03010000 02000000 00000000 04000100 00000000 03000100 00000000 "
        "90102218 240a0600 05000000 ddccbbaa be1d8741"
    )


def test_headers_come_back() -> None:
    raw = encode_file_header(FILE)
    assert len(raw) == FILE_HEADER_BYTES
    assert decode_file_header(raw, PATH) == FILE
    raw = encode_record_header(RECORD, SALT)
    assert len(raw) == RECORD_HEADER_BYTES
    assert decode_record_header(memoryview(b"xy" + raw), 2, SALT) == RECORD


def test_every_flipped_or_missing_byte_of_a_header_is_found() -> None:
    raw = encode_file_header(FILE)
    for offset in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[offset] ^= 1 << bit
            with pytest.raises(Corrupt):
                decode_file_header(flipped, PATH)
        with pytest.raises(Corrupt):
            decode_file_header(raw[:offset], PATH)
    raw = encode_record_header(RECORD, SALT)
    for offset in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[offset] ^= 1 << bit
            assert decode_record_header(memoryview(flipped), 0, SALT) is None
        assert decode_record_header(memoryview(raw)[:offset], 0, SALT) is None


def test_record_header_is_only_valid_under_its_salt() -> None:
    raw = memoryview(encode_record_header(RECORD, SALT))
    for bit in range(32):
        assert decode_record_header(raw, 0, SALT ^ 1 << bit) is None
    assert decode_record_header(raw, 0, 0) is None


def test_file_of_a_later_version_is_no_damage() -> None:
    with pytest.raises(InvalidState) as stopped:
        decode_file_header(_other_format(2), PATH)
    assert stopped.value.fields["kind"] == "log"
    assert stopped.value.fields["current"] == "of format 2"
    assert "knows format 1" in stopped.value.fields["wanted"]
    with pytest.raises(Corrupt):
        decode_file_header(_other_format(0), PATH)


@pytest.mark.parametrize("previous", [65_540, 65_541])
def test_file_that_starts_before_its_predecessor_ends_is_corrupt(previous: int) -> None:
    with pytest.raises(Corrupt):
        decode_file_header(encode_file_header(FileHeader(65_540, previous, SALT)), PATH)
