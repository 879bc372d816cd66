"""Many vector searches over the segments of a view in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

from akidb_ray.segment.batch import search_segment_for_many
from akidb_ray.segment.columns import RowMask
from akidb_ray.segment.cost import segment_breadth
from akidb_ray.segment.search import Found, Wanted
from akidb_ray.segment.view import SegmentView
from akidb_ray.shard.vector_search import Candidate, count_of, nearest_of


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One of the searches. Those with the same filter share one list of `masks`."""

    wanted: Wanted
    masks: Sequence[RowMask]


def search_many_vectors(
    segments: Sequence[SegmentView], asked: Sequence[Asked], threads: int
) -> list[list[Candidate]]:
    """The nearest documents of each search, in their order."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, one in enumerate(asked):
        key = (id(one.masks), one.wanted.limit, one.wanted.ef, one.wanted.exact)
        alike.setdefault(key, []).append(number)
    rows = sum(view.rows for view in segments)
    found: list[list[tuple[SegmentView, Found]]] = [[] for _ in asked]
    for numbers in alike.values():
        wanted = [asked[number].wanted for number in numbers]
        masks = asked[numbers[0]].masks
        for view, mask in zip(segments, masks, strict=True):
            count = count_of(view, mask)
            allowed = None if count == view.rows else mask
            ef = segment_breadth(wanted[0].ef, view.rows / rows)
            own = [each._replace(ef=ef) for each in wanted]
            results = search_segment_for_many(view, allowed, count, own, threads)
            for number, result in zip(numbers, results, strict=True):
                found[number].append((view, result))
    return [
        nearest_of(results, one.wanted.limit) for results, one in zip(found, asked, strict=True)
    ]
