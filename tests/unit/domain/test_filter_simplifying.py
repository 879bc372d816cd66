from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from akidb_ray.domain.filter import EVERYTHING, Clause, Filter, HasId
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.filter_simplifying import count_conditions, simplified

A, B, C = HasId(("a", "c")), HasId(("b",)), HasId(())


def test_inner_musts_are_dissolved() -> None:
    inner = Filter(must=(B,), must_not=(C,))
    assert simplified(must=[A, inner]) == Filter(must=(A, B), must_not=(C,))
    assert simplified(must=[A, Filter()]) == Filter(must=(A,))


def test_single_clauses_lose_their_wrapping() -> None:
    assert simplified(should=[Filter(must=(A,)), B]) == Filter(should=(A, B))
    assert simplified(must_not=[Filter(must=(A,))]) == Filter(must_not=(A,))
    assert simplified(must=[Filter(should=(A, B))]) == Filter(should=(A, B))


def test_inner_alternatives_join_outer_ones() -> None:
    inner = Filter(should=(A, B))
    assert simplified(should=[inner, C]) == Filter(should=(A, B, C))
    assert simplified(must_not=[inner, C]) == Filter(must_not=(A, B, C))


def test_alternative_that_always_holds_makes_the_others_needless() -> None:
    assert simplified(must=[A], should=[B, EVERYTHING]) == Filter(must=(A,))
    assert simplified(should=[EVERYTHING]).is_everything
    assert not simplified(must_not=[EVERYTHING]).is_everything


def test_what_says_more_is_kept() -> None:
    for inner in (Filter(must=(A, B)), Filter(must_not=(A,)), Filter((A,), (B,))):
        assert simplified(should=[inner, C]) == Filter(should=(inner, C))
        assert simplified(must_not=[inner]) == Filter(must_not=(inner,))
    mixed = Filter(must=(A,), should=(B,))
    assert simplified(must=[mixed, C]) == Filter(must=(mixed, C))


def _nested(inner: Any) -> Any:
    clauses = st.lists(inner, max_size=3)
    return st.tuples(clauses, clauses, clauses)


_trees = st.recursive(st.sampled_from([A, B, C]), _nested, max_leaves=12)


def _built(tree: Any, simple: bool) -> Clause:
    if isinstance(tree, HasId):
        return tree
    must, should, must_not = ([_built(one, simple) for one in part] for part in tree)
    if simple:
        return simplified(must, should, must_not)
    return Filter(tuple(must), tuple(should), tuple(must_not))


@given(_nested(_trees))
def test_simplified_filter_means_the_same(tree: Any) -> None:
    plain, simple = _built(tree, simple=False), _built(tree, simple=True)
    assert isinstance(plain, Filter)
    assert isinstance(simple, Filter)
    for document_id in ("a", "b", "c", "d"):
        assert passes(simple, {}, document_id) == passes(plain, {}, document_id)
    assert count_conditions(simple) <= count_conditions(plain)
