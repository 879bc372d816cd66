"""Fusion: the ranked lists of a vector and of a text made into one.

RRF looks at ranks alone: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms
Condorcet and individual Rank Learning Methods", SIGIR 2009. The other method adds weighted scores,
each list's first brought to 0 to 1.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from akidb_ray.domain.bounds import check_finite, check_whole
from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.query import Fusion, FusionMethod

MAX_K = 1_000_000
_DEFAULT_WEIGHTS = {FusionMethod.RRF: (1.0, 1.0), FusionMethod.WEIGHTED: (0.6, 0.4)}


class Scored(Protocol):
    """A document in a ranked list, such as a Hit."""

    @property
    def id(self) -> str: ...

    @property
    def score(self) -> float: ...


def check_fusion(fusion: Fusion) -> None:
    """Raises InvalidArgument that names `fusion.k` or `fusion.weights`."""
    check_whole("fusion.k", fusion.k, 1, MAX_K)
    weights = weights_of(fusion)
    for weight in weights:
        check_finite("fusion.weights", weight)
    if min(weights) < 0:
        raise InvalidArgument("fusion.weights", f"must not be below 0, are {weights}")
    if max(weights) == 0:
        raise InvalidArgument("fusion.weights", "must not both be 0")


def weights_of(fusion: Fusion) -> tuple[float, float]:
    """The weights of the vector's and of the text's list."""
    vector, text = _DEFAULT_WEIGHTS[fusion.method]
    return (
        vector if fusion.vector_weight is None else fusion.vector_weight,
        text if fusion.text_weight is None else fusion.text_weight,
    )


def fuse(
    vector_hits: Sequence[Scored], text_hits: Sequence[Scored], fusion: Fusion, metric: Metric
) -> list[tuple[str, float]]:
    """(id, score) of every document in one of the lists, best first, ties by id.

    Both lists are best first. RRF gives a document the sum of weight / (k + rank), ranks from 1;
    `weighted` the sum of weight * score, where the best of a list has 1, the worst 0, and those of
    a list whose scores are all equal have 1. A document that a list lacks gets nothing from it.

    Raises InvalidArgument that names `fusion.k` or `fusion.weights`.
    """
    check_fusion(fusion)
    if fusion.method is FusionMethod.RRF:
        parts = [_by_rank(hits, fusion.k) for hits in (vector_hits, text_hits)]
    else:
        parts = [_scaled(vector_hits, metric.larger_is_better), _scaled(text_hits, True)]
    scores: dict[str, float] = {}
    for part, weight in zip(parts, weights_of(fusion), strict=True):
        for document_id, score in part.items():
            scores[document_id] = scores.get(document_id, 0.0) + weight * score
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _by_rank(hits: Sequence[Scored], k: int) -> Mapping[str, float]:
    return {hit.id: 1 / (k + rank) for rank, hit in enumerate(hits, start=1)}


def _scaled(hits: Sequence[Scored], larger_is_better: bool) -> Mapping[str, float]:
    """Scores brought to 0 (the worst) to 1 (the best)."""
    sign = 1 if larger_is_better else -1
    scores = {hit.id: sign * hit.score for hit in hits}
    worst = min(scores.values(), default=0.0)
    span = max(scores.values(), default=0.0) - worst
    return {id: (score - worst) / span if span else 1.0 for id, score in scores.items()}
