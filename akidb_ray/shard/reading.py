"""Which part of the engine answers which read."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from akidb_ray.domain.document import StoredDocument, Vectors
from akidb_ray.domain.errors import NotFound
from akidb_ray.domain.query import (
    Facet,
    Group,
    ShardCount,
    ShardFacets,
    ShardGet,
    ShardGroups,
    ShardHits,
    ShardRead,
    ShardScroll,
    ShardSearch,
    ShardTextStatistics,
    ShardVector,
    ShardVersions,
    TextStatistics,
)
from akidb_ray.shard.faceting import facets
from akidb_ray.shard.grouping import search_groups
from akidb_ray.shard.likeness import vector_of
from akidb_ray.shard.scrolling import scroll
from akidb_ray.shard.view import View

Answer = TypeVar("Answer")


def answer(view: View, item: ShardRead[Answer]) -> Answer:
    """What the item asks for, of this view. Raises InvalidArgument, NotFound."""
    found: Answer = _ANSWERS[type(item)](view, item)
    return found


def _search(view: View, item: ShardSearch) -> ShardHits:
    if item.query.explain:
        return ShardHits(*view.explained(item.query, item.visible))
    return ShardHits(view.search(item.query, item.visible))


def _vector(view: View, item: ShardVector) -> Vectors:
    vector = vector_of(view, item.id, item.visible)
    if vector is None:
        raise NotFound("document", item.id)
    return vector


def _text_statistics(view: View, item: ShardTextStatistics) -> TextStatistics:
    return view.text_statistics(item.text)


def _groups(view: View, item: ShardGroups) -> list[Group]:
    return search_groups(view, item.query, item.visible)


def _facets(view: View, item: ShardFacets) -> list[Facet]:
    return facets(view, item.query, item.visible)


def _scroll(view: View, item: ShardScroll) -> list[StoredDocument]:
    return scroll(view, item.query, item.visible)


def _get(view: View, item: ShardGet) -> list[StoredDocument]:
    return view.get(item.ids, item.visible, item.with_vector)


def _versions(view: View, item: ShardVersions) -> Mapping[str, int]:
    rows = [place.stored() for place in view.find_visible(item.ids, item.visible)]
    return {row.id: row.version for row in rows}


def _count(view: View, item: ShardCount) -> int:
    return view.count(item.filter, item.visible)


_ANSWERS: Mapping[type[ShardRead[Any]], Callable[[View, Any], Any]] = {
    ShardSearch: _search,
    ShardTextStatistics: _text_statistics,
    ShardVector: _vector,
    ShardGroups: _groups,
    ShardFacets: _facets,
    ShardScroll: _scroll,
    ShardGet: _get,
    ShardVersions: _versions,
    ShardCount: _count,
}
