"""JSON Lines: one object per line."""

from collections.abc import Iterator
from typing import BinaryIO

import orjson

from akidb_ray.ingest.rows import RawRow

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_json_lines(lines: BinaryIO, raw: BinaryIO) -> Iterator[RawRow]:
    """One row per line that is not blank; `raw` is the file itself, under any decompression."""
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line.isspace():
            yield RawRow(number, _parse(line), raw.tell())


def _parse(line: bytes) -> dict[str, object] | str:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        # The line in that message would always be 1: it is the one that is parsed.
        return f"is not JSON: {error.msg} (column {error.colno})"
    return value if isinstance(value, dict) else "is not a JSON object"
