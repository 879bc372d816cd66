"""Filters over many rows at once: trees of masks.

`filter_meaning` says what a filter means for one document; this gives the same for all rows of a
segment, from columns where there are some.
"""

from collections.abc import Callable

import numpy as np

from akidb_ray.domain.filter import Clause, Condition, Filter, KeyCondition
from akidb_ray.domain.flattening import Flat
from akidb_ray.segment.column_building import columns_of
from akidb_ray.segment.column_conditions import condition_mask
from akidb_ray.segment.columns import Columns, RowMask

# Which rows meet a condition; of those that are no candidates any answer will do.
Leaf = Callable[[Condition, RowMask], RowMask]


def filter_mask(filter: Filter, candidates: RowMask, leaf: Leaf) -> RowMask:
    """Which of the candidates pass the filter: bool, as long as `candidates`."""

    def holds(clause: Clause, among: RowMask) -> RowMask:
        if isinstance(clause, Filter):
            return filter_mask(clause, among, leaf)
        return leaf(clause, among)

    mask = candidates
    for clause in filter.must:
        mask = mask & holds(clause, mask)
    if filter.should:
        some = np.zeros(len(mask), np.bool_)
        for clause in filter.should:
            some |= holds(clause, mask & ~some)
        mask = mask & some
    for clause in filter.must_not:
        mask = mask & ~holds(clause, mask)
    return mask


def condition_mask_of_rows(
    condition: KeyCondition,
    columns: Columns,
    candidates: RowMask,
    flat: Callable[[int], Flat],
) -> RowMask:
    """Which of the candidates meet the condition: from the columns, or else from the flattened
    payload of each.
    """
    if columns.answer(condition):
        return condition_mask(columns, condition)
    return condition_mask_of_flats(condition, candidates, flat)


def condition_mask_of_flats(
    condition: KeyCondition, candidates: RowMask, flat: Callable[[int], Flat]
) -> RowMask:
    """Which of the candidates meet the condition, from the flattened payload of each."""
    key, rows = condition.key, np.flatnonzero(candidates)
    # A column for the one path, made and thrown away, is faster than `passes` for each row.
    flats = map(flat, rows.tolist())
    columns = columns_of({key: found[key]} if key in found else {} for found in flats)
    mask = np.zeros(len(candidates), np.bool_)
    mask[rows] = condition_mask(columns, condition)
    return mask
