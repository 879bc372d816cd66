"""CSV with a header line, as RFC 4180 has it, in UTF-8."""

import csv
import io
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import orjson

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.ingest.rows import FieldNames, RawRow

# A long text is one cell. Python's own limit of 128 KiB is less than some vectors need.
_MAX_CELL_CHARACTERS = 16 * 1024**2

# "007" is no number but an article's, and 1_000 is none at all.
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)


class _Lines:
    """Physical lines for one record at a time, which can be taken back all but the first.

    A quote that is never closed makes a record of the rest of the file. Only its first line is bad.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._record: list[str] = []
        self._line = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._record.append(line)
        return line

    def begin_record(self) -> int:
        """The number of the line with which the next record begins."""
        self._line += len(self._record)
        self._record.clear()
        return self._line + 1

    def give_up_record(self) -> None:
        self._again.extendleft(reversed(self._record[1:]))
        del self._record[1:]


def read_csv(decompressed: BinaryIO, raw: BinaryIO, names: FieldNames) -> Iterator[RawRow]:
    """One row per record; an empty cell is None.

    Cells are numbers where they look like one, other than ids and texts. Raises InvalidArgument for
    a header that cannot be used.
    """
    # What is not UTF-8 is let through here, as lone surrogates, and refused in its own row.
    text = io.TextIOWrapper(decompressed, "utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    lines = _Lines(text)
    records = csv.reader(lines, strict=True)
    header: list[str] | None = None
    while True:
        line = lines.begin_record()
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            if header is None:
                raise InvalidArgument("header", f"is not CSV: {error}") from None
            lines.give_up_record()
            yield RawRow(line, f"is not CSV: {error}", raw.tell())
            continue
        if header is None:
            header = _check_header(cells)
        elif cells:
            yield RawRow(line, _fields(header, cells, names), raw.tell())


def _check_header(header: list[str]) -> list[str]:
    named = [name for name in header if name]
    for name in named:
        if named.count(name) > 1:
            raise InvalidArgument("header", f"names the field {name!r} twice")
    return header


def _fields(header: list[str], cells: list[str], names: FieldNames) -> dict[str, Any] | str:
    if len(cells) != len(header):
        return f"has {len(cells)} cells, and the header has {len(header)}"
    if any(not cell.isascii() and _has_surrogates(cell) for cell in cells):
        return "is not UTF-8"
    fields: dict[str, Any] = {}
    # A column without a name is a row number that somebody's table was saved with.
    for name, cell in zip(header, cells, strict=True):
        if not cell:
            fields[name] = None
        elif name in (names.id, names.text):
            fields[name] = cell
        elif name == names.vector:
            try:
                fields[name] = orjson.loads(cell)
            except orjson.JSONDecodeError as error:
                return f"{name}: must be a JSON list of numbers: {error.msg}"
        elif name:
            fields[name] = _number_or_text(cell)
    fields.pop("", None)
    return fields


def _number_or_text(cell: str) -> int | float | str:
    if _INTEGER.fullmatch(cell):
        return int(cell)
    # 64-bit integers and longer stay text: a float would lose their last digits.
    if _DECIMAL.fullmatch(cell) and not cell.lstrip("-").isdecimal():
        number = float(cell)
        return number if math.isfinite(number) else cell
    return cell


def _has_surrogates(cell: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in cell)
