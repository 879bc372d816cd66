"""Two ranked lists become one: by ranks, or by scores brought to one scale."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.fusion import check_fusion, fuse
from akidb_ray.domain.query import Fusion, FusionMethod

RRF = Fusion()
WEIGHTED = Fusion(FusionMethod.WEIGHTED)


@dataclass(frozen=True)
class Found:
    id: str
    score: float


def hits(**scores: float) -> list[Found]:
    return [Found(id, score) for id, score in scores.items()]


def test_rrf_adds_reciprocal_ranks_whatever_the_scores() -> None:
    fused = fuse(hits(a=0.9, b=0.8, c=-3), hits(b=17, d=1), RRF, Metric.COSINE)
    assert fused == [
        ("b", pytest.approx(1 / 62 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("d", pytest.approx(1 / 62)),
        ("c", pytest.approx(1 / 63)),
    ]


def test_a_smaller_k_makes_the_first_ranks_count_more() -> None:
    vector, text = hits(a=9, b=8, c=7, d=6), hits(x=9, b=8)
    assert fuse(vector, text, Fusion(k=1), Metric.DOT)[0] == ("b", pytest.approx(2 / 3))
    fused = dict(fuse(vector, text, Fusion(k=1, vector_weight=3, text_weight=0), Metric.DOT))
    assert list(fused) == ["a", "b", "c", "d", "x"]
    assert fused == pytest.approx({"a": 3 / 2, "b": 1, "c": 3 / 4, "d": 3 / 5, "x": 0})


def test_weighted_scores_go_from_the_worst_to_the_best_of_their_list() -> None:
    fused = fuse(hits(a=0.9, b=0.5, c=0.1), hits(c=20, a=10, d=5), WEIGHTED, Metric.COSINE)
    assert fused == [
        ("a", pytest.approx(0.6 + 0.4 / 3)),
        ("c", pytest.approx(0.4)),
        ("b", pytest.approx(0.3)),
        ("d", pytest.approx(0.0)),
    ]


def test_of_l2_distances_the_smallest_is_the_best() -> None:
    fused = fuse(hits(a=1, b=2, c=3), hits(c=5, b=4), WEIGHTED, Metric.L2)
    assert fused == [
        ("a", pytest.approx(0.6)),
        ("c", pytest.approx(0.4)),
        ("b", pytest.approx(0.3)),
    ]


@pytest.mark.parametrize("metric", list(Metric))
def test_equal_scores_of_a_list_are_all_the_best(metric: Metric) -> None:
    assert fuse(hits(b=2, a=2), hits(c=7), WEIGHTED, metric) == [("a", 0.6), ("b", 0.6), ("c", 0.4)]


@pytest.mark.parametrize("fusion", [RRF, WEIGHTED])
def test_a_list_may_be_empty(fusion: Fusion) -> None:
    assert fuse([], [], fusion, Metric.L2) == []
    assert [id for id, _ in fuse([], hits(b=2, a=1), fusion, Metric.L2)] == ["b", "a"]
    assert [id for id, _ in fuse(hits(b=1, a=2), [], fusion, Metric.L2)] == ["b", "a"]


def test_ties_come_in_order_of_id() -> None:
    assert [id for id, _ in fuse(hits(b=1), hits(a=1), RRF, Metric.DOT)] == ["a", "b"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("fusion.k", {"k": 0}),
        ("fusion.k", {"k": 1.5}),
        ("fusion.k", {"k": True}),
        ("fusion.weights", {"vector_weight": -0.1}),
        ("fusion.weights", {"text_weight": float("nan")}),
        ("fusion.weights", {"text_weight": float("inf")}),
        ("fusion.weights", {"text_weight": "much"}),
        ("fusion.weights", {"vector_weight": 0, "text_weight": 0.0}),
    ],
)
@pytest.mark.parametrize("method", list(FusionMethod))
def test_what_makes_no_sense_is_refused_by_its_name(
    field: str, change: dict[str, Any], method: FusionMethod
) -> None:
    fusion = Fusion(method, **change)
    with pytest.raises(InvalidArgument) as caught:
        check_fusion(fusion)
    assert caught.value.fields["field"] == field
    with pytest.raises(InvalidArgument):
        fuse([], [], fusion, Metric.DOT)


scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1e6, 1e6))


@given(scores, scores, st.sampled_from(list(FusionMethod)), st.sampled_from(list(Metric)))
def test_every_document_of_a_list_comes_once_and_the_best_comes_first(
    vector: dict[str, float], text: dict[str, float], method: FusionMethod, metric: Metric
) -> None:
    def ranked(scores: dict[str, float], sign: int) -> list[Found]:
        return [Found(id, scores[id]) for id in sorted(scores, key=lambda id: sign * scores[id])]

    sign = -1 if metric.larger_is_better else 1
    fused = fuse(ranked(vector, sign), ranked(text, -1), Fusion(method), metric)
    assert sorted(id for id, _ in fused) == sorted(vector | text)
    assert [score for _, score in fused] == sorted((s for _, s in fused), reverse=True)
    assert all(0 <= score <= 1 for _, score in fused)
