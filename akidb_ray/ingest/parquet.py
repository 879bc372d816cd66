"""Parquet files, by pyarrow."""

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.ingest.rows import RawRow

_BATCH_ROWS = 1_024


def read_parquet(path: Path, size_bytes: int) -> Iterator[RawRow]:
    """The rows, numbered from 1. NaN and infinity become None, as JSON has neither.

    Raises InvalidArgument for a file that is not Parquet.
    """
    # It takes a quarter of a second to load, and most files are not Parquet.
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidArgument("file", f"{path} is not a Parquet file: {error}") from None
    with file:
        rows = max(1, file.metadata.num_rows)
        number = 0
        try:
            for batch in file.iter_batches(_BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    fields = {name: _plain(value) for name, value in values.items()}
                    yield RawRow(number, fields, size_bytes * number // rows)
        except (pyarrow.ArrowException, OSError) as error:
            lost = f"this row and those after it cannot be read: {error}"
            yield RawRow(number + 1, lost, size_bytes)


def _plain(value: Any) -> Any:
    """What JSON can hold, with decimals as numbers."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
