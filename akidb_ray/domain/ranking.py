"""Order of results, the same wherever lists are merged: best score first, ties by id."""

from collections.abc import Iterable

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.query import Hit


def merge_hits(lists: Iterable[Iterable[Hit]], metric: Metric, limit: int) -> list[Hit]:
    """The best `limit` of several lists of hits from disjoint sets of documents."""
    sign = -1.0 if metric.larger_is_better else 1.0
    hits = [hit for hits in lists for hit in hits]
    hits.sort(key=lambda hit: (sign * hit.score, hit.id))
    return hits[:limit]
