"""Lists of disjoint sets of documents, merged: groups and facets of the same value are one."""

from akidb_ray.domain.explaining import merge_explanations
from akidb_ray.domain.merging import merge_facets, merge_groups
from akidb_ray.domain.query import Explanation, Facet, Group, Hit, SegmentPlan


def group(value: str | int | float | bool, *hits: tuple[str, float]) -> Group:
    return Group(value, [Hit(id, score, 1) for id, score in hits])


def test_groups_stand_in_the_order_of_their_best_documents() -> None:
    lists = [
        [group("x", ("a", 9.0), ("c", 5.0)), group("y", ("b", 7.0))],
        [group("y", ("d", 8.0), ("e", 1.0)), group("z", ("f", 7.0))],
    ]
    merged = merge_groups(lists, larger_is_better=True, limit=2, size=2)
    assert [(g.value, [hit.id for hit in g.hits]) for g in merged] == [
        ("x", ["a", "c"]),
        ("y", ["d", "b"]),
    ]
    nearest = merge_groups(lists, larger_is_better=False, limit=1, size=1)
    assert [(g.value, [hit.id for hit in g.hits]) for g in nearest] == [("y", ["e"])]


def test_equal_numbers_are_one_value_and_true_is_another() -> None:
    lists = [[group(1, ("a", 1.0))], [group(1.0, ("b", 2.0))], [group(True, ("c", 3.0))]]
    merged = merge_groups(lists, larger_is_better=True, limit=9, size=9)
    assert [[hit.id for hit in g.hits] for g in merged] == [["c"], ["b", "a"]]
    facets = merge_facets([[Facet(1, 2)], [Facet(1.0, 3), Facet(True, 4)]], 9)
    assert [(facet.value, facet.count) for facet in facets] == [(1, 5), (True, 4)]


def test_facets_are_added_before_the_most_frequent_are_chosen() -> None:
    lists = [[Facet("a", 5), Facet("b", 4)], [Facet("c", 5), Facet("b", 4)]]
    found = merge_facets(lists, 2)
    assert [(facet.value, facet.count) for facet in found] == [("b", 8), ("a", 5)]


def test_explanations_of_one_shard_are_added() -> None:
    plan = SegmentPlan(10, 10, "exact", 10)
    parts = [
        Explanation((plan,), {"filter": 1.0, "vector": 2.0}),
        Explanation((), {"filter": 0.5, "text": 4.0}),
    ]
    merged = merge_explanations(parts)
    assert merged.segments == (plan,)
    assert merged.took_ms == {"filter": 1.5, "vector": 2.0, "text": 4.0}
