"""Groups: the best documents of each value at a payload path.

The best documents are searched until enough values were among them. Each further search is for
documents with values other than those found, so that one large group hides no small one. What a
search showed of a group that it found are the group's best documents, from the first on; when these
are too few, the group is searched by itself.
"""

from dataclasses import dataclass, replace

from akidb_ray.domain.bounds import check_whole
from akidb_ray.domain.filter import Filter, Match, MatchExcept, RowFilter, Scalar
from akidb_ray.domain.filter_operands import parse_key, parse_scalars
from akidb_ray.domain.query import Group, GroupQuery, TextQuery, VectorQuery
from akidb_ray.domain.query_rules import check_query
from akidb_ray.domain.scalars import ScalarKey, scalar_key
from akidb_ray.segment.rows import flat_of
from akidb_ray.shard.vector_search import Candidate
from akidb_ray.shard.view import View

MAX_GROUPS = 1_000
MAX_GROUP_SIZE = 100
_MAX_FIRST_LIMIT = 1_000
_WIDENING = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A group and its best documents, best first; all that it has when they are `complete`."""

    value: Scalar
    documents: list[Candidate]
    complete: bool


def search_groups(view: View, query: GroupQuery, visible: RowFilter) -> list[Group]:
    """The best groups by their best documents, ties by that one's id, then by value.

    They are the true ones when the query is `exact` or searches texts; else as good as the graph.
    1 and 1.0 are one group, and True is another.

    Raises InvalidArgument that names `limit`, `size`, `key`, `values`, or what is wrong with the
    query that is grouped.
    """
    check_whole("limit", query.limit, 1, MAX_GROUPS)
    check_whole("size", query.size, 1, MAX_GROUP_SIZE)
    check_query(replace(query.query, limit=1, offset=0, score_threshold=None))
    query = replace(query, key=parse_key(query.key, "key"))
    if query.values is not None:
        query = replace(query, values=parse_scalars(list(query.values), "values"))
    found = [_filled(view, group, query, visible) for group in _find(view, query, visible)]
    found.sort(key=lambda group: (*group.documents[0][:2], scalar_key(group.value)))
    return [
        Group(group.value, view.hits(group.documents[: query.size], query.query))
        for group in found[: query.limit]
    ]


def _find(view: View, query: GroupQuery, visible: RowFilter) -> list[_Found]:
    """At least `query.limit` groups, the best ones, when there are so many."""
    found: dict[ScalarKey, _Found] = {}
    limit = min(query.limit * query.size, _MAX_FIRST_LIMIT)
    while True:
        others = _others(query, found)
        if isinstance(others, Match) and not others.values:
            break
        ranked = view.ranked(_narrowed(query, others, limit), visible)
        complete = len(ranked) < limit
        found |= _groups_of(ranked, query.key, others, complete)
        if complete or len(found) >= query.limit:
            break
        limit *= _WIDENING
    return list(found.values())


def _others(query: GroupQuery, found: dict[ScalarKey, _Found]) -> Match | MatchExcept:
    """The values that are wanted and were not found yet."""
    if query.values is None:
        return MatchExcept(query.key, tuple(group.value for group in found.values()))
    wanted = tuple(value for value in query.values if scalar_key(value) not in found)
    return Match(query.key, wanted)


def _narrowed(
    query: GroupQuery, condition: Match | MatchExcept, limit: int
) -> VectorQuery | TextQuery:
    asked = query.query
    return replace(asked, filter=asked.filter & Filter((condition,)), limit=limit, offset=0)


def _groups_of(
    ranked: list[Candidate], key: str, others: Match | MatchExcept, complete: bool
) -> dict[ScalarKey, _Found]:
    """The groups of these documents, of values that `others` lets through."""
    named = set(map(scalar_key, others.values))
    groups: dict[ScalarKey, _Found] = {}
    for candidate in ranked:
        for identity, value in _values_of(candidate, key).items():
            if (identity in named) == isinstance(others, Match):
                group = groups.setdefault(identity, _Found(value, [], complete))
                group.documents.append(candidate)
    return groups


def _values_of(candidate: Candidate, key: str) -> dict[ScalarKey, Scalar]:
    payload = candidate.segment.segment.row(candidate.row).payload
    values = flat_of(payload).get(key, ())
    return {scalar_key(v): v for v in values if isinstance(v, (str, int, float, bool))}


def _filled(view: View, group: _Found, query: GroupQuery, visible: RowFilter) -> _Found:
    """The group with its best `query.size` documents, or all that it has."""
    if group.complete or len(group.documents) >= query.size:
        return group
    asked = _narrowed(query, Match(query.key, (group.value,)), query.size)
    # A graph may miss by itself what it showed among others.
    documents = {c.id: c for c in (*group.documents, *view.ranked(asked, visible))}
    return replace(group, documents=sorted(documents.values(), key=lambda c: c[:2]))
