"""Search: find a vector or embed a text, ask each shard, merge."""

from collections.abc import Sequence
from dataclasses import dataclass

from akidb_ray.access.authorization import Action, Principal
from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.directory import CollectionPlace
from akidb_ray.domain.document import Vectors, check_vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import EVERYTHING, Filter
from akidb_ray.domain.query import DEFAULT_EF, MAX_LIMIT, Hit, ShardSearch, VectorQuery
from akidb_ray.domain.ranking import merge_hits
from akidb_ray.service.collections import CollectionRef, Collections
from akidb_ray.service.fan_out import fan_out, raise_first_error, shard_key
from akidb_ray.service.incoming import as_vector
from akidb_ray.service.ports import Embedders, ShardHosts


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Exactly one of `vector` and `text` is given."""

    vector: Sequence[float] | None = None
    text: str | None = None
    filter: Filter = EVERYTHING
    limit: int = 10
    ef: int = DEFAULT_EF
    exact: bool = False
    with_payload: bool = True
    with_vector: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    collections: Collections
    hosts: ShardHosts
    embedders: Embedders

    async def search(
        self, principal: Principal, ref: CollectionRef, request: SearchRequest
    ) -> list[Hit]:
        """The best documents of the whole collection, best first, ties by id."""
        place, visible = await self.collections.ready(principal, ref, Action.READ_DOCUMENTS)
        _check_bounds(request)
        query = VectorQuery(
            await self._vector(place, request),
            request.limit,
            request.filter,
            request.ef,
            request.exact,
            request.with_payload,
            request.with_vector,
        )
        items = [
            (p, ShardSearch(shard_key(place, p.number), query, visible)) for p in place.placements
        ]
        lists = raise_first_error(await fan_out(items, self.hosts.search))
        return merge_hits(lists, place.collection.spec.metric, request.limit)

    async def _vector(self, place: CollectionPlace, request: SearchRequest) -> Vectors:
        spec = place.collection.spec
        if request.vector is not None:
            vector = as_vector(request.vector, spec.dimension, "vector")
            _check_query_vector(vector, spec)
            return vector
        if spec.embedding_model is None:
            raise InvalidArgument(
                "text", "needs a collection with an embedding_model; this one takes a vector"
            )
        embedded = await self.embedders.embed(spec.embedding_model, [str(request.text)], "query")
        found: Vectors = embedded.vectors[0]
        return found


def _check_query_vector(vector: Vectors, spec: CollectionSpec) -> None:
    try:
        check_vectors(vector[None, :], spec.dimension, spec.metric)
    except InvalidArgument as error:
        raise InvalidArgument("vector", error.fields["reason"]) from None


def _check_bounds(request: SearchRequest) -> None:
    if (request.vector is None) == (request.text is None):
        raise InvalidArgument("vector", "give exactly one of 'vector' and 'text'")
    if not 1 <= request.limit <= MAX_LIMIT:
        raise InvalidArgument("limit", f"must be from 1 to {MAX_LIMIT}, is {request.limit}")
    if not 1 <= request.ef <= MAX_LIMIT:
        raise InvalidArgument("params.ef", f"must be from 1 to {MAX_LIMIT}, is {request.ef}")
