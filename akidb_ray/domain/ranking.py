"""Order of results, the same wherever lists are merged: best score first, ties by id."""

from collections.abc import Iterable

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.query import Hit


def merge_hits(lists: Iterable[Iterable[Hit]], metric: Metric, limit: int) -> list[Hit]:
    """The best `limit` of several lists of hits from disjoint sets of documents, by vectors."""
    return merge_ranked(lists, metric.larger_is_better, limit)


def merge_ranked(lists: Iterable[Iterable[Hit]], larger_is_better: bool, limit: int) -> list[Hit]:
    """The same where it is known which scores are better."""
    hits = [hit for hits in lists for hit in hits]
    hits.sort(key=lambda hit: rank_of(hit, larger_is_better))
    return hits[:limit]


def rank_of(hit: Hit, larger_is_better: bool) -> tuple[float, str]:
    """What sorts hits, the best one first."""
    return (-hit.score if larger_is_better else hit.score), hit.id
