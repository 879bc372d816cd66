"""From a file's name to the documents in it, row by row, however large it is.

The format is told by the extension. A bad row is a value among the others, so that it loses none.
"""

import contextlib
import gzip
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Literal, cast

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.ingest.csv_rows import read_csv
from akidb_ray.ingest.json_lines import read_json_lines
from akidb_ray.ingest.parquet import read_parquet
from akidb_ray.ingest.rows import Accepts, BadRow, FieldNames, RawRow, Row, to_row

Format = Literal["csv", "json_lines", "parquet"]

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".parquet": "parquet",
}

# So many rows are looked at before a field that none of them has is called missing.
_LOOKED_AT_ROWS = 100


@dataclass(frozen=True, slots=True)
class SourceFile:
    path: Path
    format: Format
    gzipped: bool
    size_bytes: int


def find_source(path: Path) -> SourceFile:
    """Raises InvalidArgument when there is no such file, or nothing here reads its format."""
    gzipped = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if gzipped else path).suffix.lower()
    format = FORMATS.get(suffix)
    if format is None or (gzipped and format == "parquet"):
        known = ", ".join((*FORMATS, ".csv.gz", ".jsonl.gz", ".ndjson.gz"))
        raise InvalidArgument("file", f"{path}: its name must end in one of {known}")
    try:
        with path.open("rb"):
            return SourceFile(path, format, gzipped, path.stat().st_size)
    except OSError as error:
        raise InvalidArgument("file", f"{path}: {error.strerror}") from None


def read_rows(
    source: SourceFile, names: FieldNames | None = None, accepts: Accepts | None = None
) -> Iterator[Row | BadRow]:
    """The documents of a file in order, and its bad rows among them.

    Raises InvalidArgument when no row has a field that `names` asks for, and for a file that cannot
    be read at all.
    """
    names, accepts = names or FieldNames(), accepts or Accepts()
    file = str(source.path)
    with contextlib.closing(_read_raw(source, names)) as rows:
        head = list(islice(rows, _LOOKED_AT_ROWS))
        _check_names(source, head, names)
        for raw in chain(head, rows):
            if source.format != "json_lines":
                raw = _without_nulls(raw)
            yield to_row(raw, file, names, accepts)


def _read_raw(source: SourceFile, names: FieldNames) -> Generator[RawRow, None, None]:
    if source.format == "parquet":
        yield from read_parquet(source.path, source.size_bytes)
        return
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(source.path.open("rb"))
        plain: BinaryIO = raw
        if source.gzipped:
            plain = cast(BinaryIO, stack.enter_context(gzip.open(raw, "rb")))
        if source.format == "csv":
            rows = read_csv(plain, raw, names)
        else:
            rows = read_json_lines(plain, raw)
        yield from _until_broken(rows, source)


def _without_nulls(row: RawRow) -> RawRow:
    """A table has every field in every row. A null there says that this row has none."""
    if isinstance(row.values, str):
        return row
    present = {name: value for name, value in row.values.items() if value is not None}
    return RawRow(row.line, present, row.read_bytes)


def _until_broken(rows: Iterator[RawRow], source: SourceFile) -> Iterator[RawRow]:
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except (OSError, EOFError, zlib.error) as error:
        yield RawRow(line + 1, f"what follows cannot be read: {error}", source.size_bytes)


def _check_names(source: SourceFile, head: list[RawRow], names: FieldNames) -> None:
    """Refuse the file, rather than each of its rows, when no row has a field that was asked for."""
    rows = [row.values for row in head if not isinstance(row.values, str)]
    found = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        return
    usual = FieldNames()
    for option in ("id", "text", "vector"):
        name = getattr(names, option)
        # Texts and vectors may both be absent, but a name that was given is there, or misspelt.
        if name not in found and (option == "id" or name != getattr(usual, option)):
            has = ", ".join(found) or "none"
            raise InvalidArgument(
                "file",
                f"{source.path} has no field {name!r}; its fields are: {has}. "
                f"Name the one that holds the {option} with --{option}-field",
            )
