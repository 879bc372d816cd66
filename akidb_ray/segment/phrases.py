"""Which texts have terms one behind the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.postings import Postings
from akidb_ray.segment.tokens import ranges


def phrase_rows(postings: Postings, phrase: Sequence[str], allowed: RowMask) -> NDArray[np.int64]:
    """Rows of the first len(allowed) that are allowed and have the terms of `phrase`, at least one,
    consecutively: int64 (m,), rising.
    """
    numbers = [postings.find(term) for term in phrase]
    if min(numbers) < 0:
        return np.empty(0, np.int64)
    places = {number: postings.places(number) for number in numbers}
    rarest_first = sorted((found[0] for found in places.values()), key=len)
    rows = rarest_first[0]
    rows = rows[: np.searchsorted(rows, len(allowed))]
    rows = rows[allowed[rows]]
    for others in rarest_first[1:]:
        rows = _common(rows, others)
    # Where the phrase would have to begin, by row and position.
    begins: NDArray[np.int64] | None = None
    for offset, number in enumerate(numbers):
        found = _begins(*places[number], rows, len(numbers) - offset)
        begins = found if begins is None else _common(begins, found)
    assert begins is not None
    found_rows: NDArray[np.int64] = np.unique(begins >> 32)
    return found_rows


def _begins(
    entries: NDArray[np.int32],
    counts: NDArray[Any],
    positions: NDArray[Any],
    rows: NDArray[np.int32],
    shift: int,
) -> NDArray[np.int64]:
    """Row and position + shift, as one number, of each place where these rows have a term."""
    wanted = np.searchsorted(entries, rows)
    starts = (np.cumsum(counts, dtype=np.int64) - counts)[wanted]
    counts = counts[wanted]
    begins: NDArray[np.int64] = np.repeat(rows.astype(np.int64) << 32, counts)
    begins += positions[ranges(starts, counts)].astype(np.int64) + shift
    return begins


def _common(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """What is in both. They rise."""
    few, many = (left, right) if len(left) <= len(right) else (right, left)
    if not len(few):
        return few
    places = np.minimum(np.searchsorted(many, few), len(many) - 1)
    common: NDArray[Any] = few[many[places] == few]
    return common
