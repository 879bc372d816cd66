"""The search for groups, as far as it has got. Like `OneSearch` it does no I/O.

The best groups of the collection are among the best of each shard: a group that so many others of
its shard are better than is worse than these everywhere. So each shard is asked for as many groups
as are wanted, and these are merged. A shard that shows so many may have documents of a chosen group
that it did not show: it is asked for those groups by their values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from akidb_ray.domain.errors import AkiDBError, InvalidArgument
from akidb_ray.domain.filter import Filter, HasId, Scalar
from akidb_ray.domain.merging import merge_groups
from akidb_ray.domain.query import Group, GroupQuery, ShardGroups, TextQuery, VectorQuery
from akidb_ray.domain.scalars import scalar_key
from akidb_ray.service.fan_out import present, shard_key
from akidb_ray.service.one_search import OneSearch
from akidb_ray.service.search_request import GroupsAnswer, SearchMode, SearchRequest


@dataclass(eq=False, slots=True)
class GroupSearch:
    search: OneSearch
    query: GroupQuery
    found: dict[int, list[Group]] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, search: OneSearch, key: str, limit: int, size: int) -> "GroupSearch":
        """`search` is what is grouped, its vector and statistics known. Raises InvalidArgument."""
        request = search.request
        _check(request)
        filter = request.filter
        if request.id is not None:
            filter = filter & Filter(must_not=(HasId((request.id,)),))
        query: TextQuery | VectorQuery
        if request.mode is SearchMode.KEYWORD:
            assert request.text is not None
            query = TextQuery(request.text, statistics=search.statistics)
        else:
            assert search.vector is not None
            query = VectorQuery(search.vector, ef=request.breadth, exact=request.exact)
        query = replace(
            query,
            filter=filter,
            with_payload=request.with_payload,
            with_vector=request.with_vector,
        )
        return cls(search, GroupQuery(query, key, limit, size), missing=set(search.missing))

    def reads(self) -> list[ShardGroups]:
        return [self._read(number, self.query) for number in self.search.numbers]

    def take(self, answers: Sequence[list[Group] | AkiDBError]) -> None:
        """The answers to `reads`. Raises the error of a shard that must not be missing."""
        partial = self.search.request.partial_results
        found, missing = present(self.search.numbers, answers, partial)
        self.found.update(found)
        self.missing.update(missing)

    def more_reads(self) -> list[ShardGroups]:
        """For the chosen groups that a shard did not show, though it may have them."""
        chosen = {scalar_key(group.value): group.value for group in self._merged()}
        reads = []
        for number, groups in self.found.items():
            shown = {scalar_key(group.value) for group in groups}
            unseen: list[Scalar] = [chosen[key] for key in chosen.keys() - shown]
            if unseen and len(groups) == self.query.limit:
                reads.append(self._read(number, replace(self.query, values=unseen)))
        return reads

    def take_more(
        self, reads: Sequence[ShardGroups], answers: Sequence[list[Group] | AkiDBError]
    ) -> None:
        """The answers to `more_reads`, which were `reads`. Raises as `take`."""
        numbers = [read.shard.number for read in reads]
        partial = self.search.request.partial_results
        found, missing = present(numbers, answers, partial, all_may_miss=True)
        self.missing.update(missing)
        for number, groups in found.items():
            self.found[number] = [*self.found[number], *groups]

    def answer(self) -> GroupsAnswer:
        return GroupsAnswer(self._merged(), tuple(sorted(self.missing)))

    def _read(self, number: int, query: GroupQuery) -> ShardGroups:
        search = self.search
        least = search.least.get(number, 0)
        return ShardGroups(shard_key(search.place, number), query, search.visible, least)

    def _merged(self) -> list[Group]:
        metric = self.search.place.collection.spec.metric
        larger = isinstance(self.query.query, TextQuery) or metric.larger_is_better
        return merge_groups(self.found.values(), larger, self.query.limit, self.query.size)


def _check(request: SearchRequest) -> None:
    """What groups have no meaning for is refused: ignored it would be a lie."""
    if request.mode is SearchMode.HYBRID:
        raise InvalidArgument("mode", "groups are made of one list; use 'vector' or 'keyword'")
    unused = {
        "offset": request.offset != 0,
        "score_threshold": request.score_threshold is not None,
        "explain": request.explain,
    }
    for name, given in unused.items():
        if given:
            raise InvalidArgument(name, "has no meaning for groups")
