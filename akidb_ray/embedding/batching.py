"""How texts of different lengths become batches with little padding. Pure functions."""

from collections.abc import Sequence


def plan_batches(
    lengths: Sequence[int], max_tokens_per_batch: int, max_rows: int
) -> list[list[int]]:
    """Group rows into batches that are padded to their longest row.

    `lengths` are tokens per row. Returns lists of row numbers, shortest rows first; every row is in
    exactly one. A batch has at most `max_rows` rows and, padding included, at most
    `max_tokens_per_batch` tokens, unless one row alone has more: that row is a batch of its own.

    Rows are taken in order of length, as neighbours in that order waste the least padding.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Sorted, so this row is the longest so far and sets the width of the batch.
        padded_tokens = (len(current) + 1) * lengths[row]
        if current and (len(current) == max_rows or padded_tokens > max_tokens_per_batch):
            batches.append(current)
            current = []
        current.append(row)
    if current:
        batches.append(current)
    return batches
