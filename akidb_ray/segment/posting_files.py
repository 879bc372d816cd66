"""The file `postings.arrow` of a sealed segment: one Arrow batch of one row, an array in each cell.

Its metadata names the analysis. Rows without any words take no room in it.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from akidb_ray.segment.arrow_batches import check_schema, decode_file, encode_file
from akidb_ray.segment.postings import Postings, no_postings
from akidb_ray.storage.filesystem import Bytes

_ANALYSIS = b"analysis"
_UNSIGNED = (pa.uint8(), pa.uint16(), pa.uint32())
# Those of no type here have one of `_UNSIGNED`.
_ARRAYS = {
    "terms": pa.large_string(),
    "starts": pa.int64(),
    "position_starts": pa.int64(),
    "rows": pa.int32(),
    "lengths": pa.int32(),
    "counts": None,
    "positions": None,
}


def encode_postings(postings: Postings) -> list[Bytes]:
    if not len(postings.terms):
        postings = replace(postings, lengths=postings.lengths[:0])
    arrays = {name: pa.array(getattr(postings, name), type) for name, type in _ARRAYS.items()}
    cells = [
        pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), array)
        for array in arrays.values()
    ]
    schema = _schema({name: array.type for name, array in arrays.items()})
    schema = schema.with_metadata({_ANALYSIS: postings.analysis})
    return encode_file(pa.RecordBatch.from_arrays(cells, schema=schema))


def _schema(types: dict[str, pa.DataType]) -> pa.Schema:
    fields = [pa.field(name, pa.large_list(type), nullable=False) for name, type in types.items()]
    return pa.schema(fields)


def decode_postings(data: Bytes, rows: int) -> Postings:
    """Postings over mapped bytes, all of which lead to rows and places that are there.

    Raises ValueError for bytes that cannot be postings of so many rows.
    """
    batch = decode_file(data)
    check_schema(batch, _schema(_types(batch.schema)))
    if batch.num_rows != 1:
        raise ValueError(f"holds {batch.num_rows} rows instead of one")
    cells = {name: batch.column(name).values for name in _ARRAYS}
    if any(cell.null_count for cell in cells.values()):
        raise ValueError("lacks values")
    arrays: dict[str, Any] = {
        name: cell if name == "terms" else cell.to_numpy() for name, cell in cells.items()
    }
    analysis = (batch.schema.metadata or {}).get(_ANALYSIS, b"").decode()
    postings = Postings(analysis=analysis, **arrays)
    if not len(postings.terms) and not len(postings.lengths):
        return no_postings(rows, analysis)
    _check(postings, rows)
    return postings


def _types(schema: pa.Schema) -> dict[str, pa.DataType]:
    """The types that the arrays must have; of those that may have several, theirs."""
    types = {}
    for name, type in _ARRAYS.items():
        if type is None:
            place = schema.get_field_index(name)
            found = schema.field(place).type if place >= 0 else None
            chosen = [t for t in _UNSIGNED if pa.large_list(t) == found]
            type = chosen[0] if chosen else _UNSIGNED[0]
        types[name] = type
    return types


def _check(postings: Postings, rows: int) -> None:
    terms, entries = len(postings.terms), len(postings.rows)
    if len(postings.lengths) != rows or np.any(postings.lengths < 0):
        raise ValueError(f"holds lengths of {len(postings.lengths)} texts instead of {rows}")
    if len(postings.counts) != entries:
        raise ValueError("holds other counts than rows")
    _check_starts(postings.starts, terms, entries)
    _check_starts(postings.position_starts, terms, len(postings.positions))
    if entries and not (postings.rows.min() >= 0 and postings.rows.max() < rows):
        raise ValueError("names rows that are not there")
    # A row of the next term may come before the last one of this.
    falls = np.flatnonzero(postings.rows[1:] <= postings.rows[:-1]) + 1
    if not np.isin(falls, postings.starts, assume_unique=True).all():
        raise ValueError("names rows that do not rise")
    counted = np.add.reduceat(postings.counts, postings.starts[:-1], dtype=np.int64)
    if not np.array_equal(counted, np.diff(postings.position_starts)):
        raise ValueError("holds other positions than counts")


def _check_starts(starts: NDArray[np.int64], terms: int, items: int) -> None:
    # Each term has a row at least, and a position.
    if len(starts) != terms + 1 or starts[0] != 0 or starts[-1] != items:
        raise ValueError("its terms have other entries than there are")
    if np.any(starts[1:] <= starts[:-1]):
        raise ValueError("its terms have no entries")
