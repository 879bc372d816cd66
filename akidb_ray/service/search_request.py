"""What a search of a collection asks for and gives, and which requests make no sense."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from akidb_ray.domain.bounds import check_finite, check_whole
from akidb_ray.domain.document import Vectors
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import EVERYTHING, Filter
from akidb_ray.domain.fusion import check_fusion
from akidb_ray.domain.ids import check_document_id
from akidb_ray.domain.query import (
    DEFAULT_EF,
    MAX_EF,
    MAX_LIMIT,
    Explanation,
    Facet,
    Fusion,
    Group,
    Hit,
)

MAX_TIMEOUT_MS = 600_000
_DEFAULT_FUSION = Fusion()


class SearchMode(StrEnum):
    """What `text` does: it is embedded, its words are looked for, or both."""

    VECTOR = "vector"
    KEYWORD = "keyword"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, eq=False)
class SearchRequest:
    """Exactly one of `vector` (dimension numbers), `text` and `id` (more like this document) is
    given; in mode `hybrid` a text, and a vector with it or not.

    `ef` None stands for DEFAULT_EF. `min_version` holds tokens that writes answered, with commas
    between them: the search sees those writes, or is answered Unavailable. With `partial_results`
    shards that do not answer are left out, unless none does. `timeout_ms` bounds the whole; None:
    as long as a request may take.
    """

    vector: Sequence[float] | Vectors | None = None
    text: str | None = None
    id: str | None = None
    mode: SearchMode = SearchMode.VECTOR
    fusion: Fusion = _DEFAULT_FUSION
    filter: Filter = EVERYTHING
    limit: int = 10
    offset: int = 0
    score_threshold: float | None = None
    with_payload: bool = True
    with_vector: bool = False
    ef: int | None = None
    exact: bool = False
    explain: bool = False
    min_version: str | None = None
    partial_results: bool = False
    timeout_ms: int | None = None

    @property
    def depth(self) -> int:
        """How far down the list of all documents the wanted ones reach."""
        return self.offset + self.limit

    @property
    def breadth(self) -> int:
        return DEFAULT_EF if self.ef is None else self.ef

    @property
    def asks_embedder(self) -> bool:
        """Whether the text has to be made a vector."""
        without = self.vector is None and self.text is not None
        return without and self.mode is not SearchMode.KEYWORD


@dataclass(frozen=True, slots=True, eq=False)
class SearchAnswer:
    """The best documents, best first, ties by id. `missing_shards` are the numbers of those that
    did not answer, which only `partial_results` allows; `explanation` says how each shard searched,
    by its number, when that was asked.
    """

    hits: Sequence[Hit]
    missing_shards: tuple[int, ...] = ()
    explanation: tuple[tuple[int, Explanation], ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GroupsAnswer:
    """The best groups by their best document, each with its best documents."""

    groups: Sequence[Group]
    missing_shards: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FacetsAnswer:
    """The most frequent values. When they are not `exact`, a shard has more different values than
    it tells of, and counts may be too small.
    """

    facets: Sequence[Facet]
    exact: bool = True


def check_request(request: SearchRequest) -> None:
    """Raises InvalidArgument that names the field. Vector and version are looked at where they are
    used.
    """
    _check_what(request)
    check_whole("limit", request.limit, 1, MAX_LIMIT)
    check_whole("offset", request.offset, 0, MAX_LIMIT)
    # The document that others are to be like is found, too.
    most = MAX_LIMIT - (request.id is not None)
    if request.depth > most:
        raise InvalidArgument("offset", f"and limit together must be at most {most}")
    if request.score_threshold is not None:
        check_finite("score_threshold", request.score_threshold)
    check_whole("params.ef", request.breadth, 1, MAX_EF)
    if request.mode is SearchMode.HYBRID:
        check_fusion(request.fusion)
    elif request.fusion != _DEFAULT_FUSION:
        raise InvalidArgument("fusion", "is for mode 'hybrid'")
    if request.mode is SearchMode.KEYWORD and (request.ef is not None or request.exact):
        raise InvalidArgument("params", "are for vectors; mode 'keyword' has none")
    check_timeout(request.timeout_ms)


def check_timeout(timeout_ms: int | None) -> None:
    if timeout_ms is not None:
        check_whole("timeout_ms", timeout_ms, 1, MAX_TIMEOUT_MS)


def _check_what(request: SearchRequest) -> None:
    lacking = (request.vector is None) + (request.text is None) + (request.id is None)
    if request.mode is SearchMode.HYBRID:
        if request.text is None or request.id is not None:
            raise InvalidArgument("text", "mode 'hybrid' needs a text, and a vector or none, no id")
    elif lacking != 2:
        raise InvalidArgument("vector", "give exactly one of 'vector', 'text' and 'id'")
    elif request.mode is SearchMode.KEYWORD and request.text is None:
        raise InvalidArgument("text", "mode 'keyword' needs a text, and nothing else")
    if request.id is not None:
        check_document_id(request.id)
    if request.text is not None:
        try:
            request.text.encode()
        except UnicodeEncodeError:
            raise InvalidArgument("text", "is not valid Unicode") from None
