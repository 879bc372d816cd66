"""Groups and facets of disjoint sets of documents, merged into those of the whole."""

import heapq
from collections.abc import Iterable, Sequence

from akidb_ray.domain.filter import Scalar
from akidb_ray.domain.query import Facet, Group, Hit
from akidb_ray.domain.ranking import merge_ranked, rank_of
from akidb_ray.domain.scalars import ScalarKey, scalar_key


def merge_groups(
    lists: Iterable[Iterable[Group]], larger_is_better: bool, limit: int, size: int
) -> list[Group]:
    """The best `limit` groups by their best documents, ties by that one's id, then by value; each
    with its best `size` documents. Groups of the same value are one.
    """
    values: dict[ScalarKey, Scalar] = {}
    hits: dict[ScalarKey, list[Sequence[Hit]]] = {}
    for group in (group for groups in lists for group in groups):
        identity = scalar_key(group.value)
        values.setdefault(identity, group.value)
        hits.setdefault(identity, []).append(group.hits)
    merged = [
        Group(value, merge_ranked(hits[identity], larger_is_better, size))
        for identity, value in values.items()
    ]
    merged.sort(key=lambda g: (rank_of(g.hits[0], larger_is_better), scalar_key(g.value)))
    return merged[:limit]


def merge_facets(lists: Iterable[Iterable[Facet]], limit: int) -> list[Facet]:
    """The `limit` most frequent values, ties as `scalar_key` orders them."""
    merged: dict[ScalarKey, Facet] = {}
    for facet in (facet for facets in lists for facet in facets):
        identity = scalar_key(facet.value)
        known = merged.get(identity)
        merged[identity] = facet if known is None else Facet(known.value, known.count + facet.count)
    return heapq.nsmallest(
        limit, merged.values(), key=lambda facet: (-facet.count, scalar_key(facet.value))
    )
