"""Shapes of answers about documents and searches, as OpenAPI shows them."""

from typing import Any

from pydantic import Field
from pydantic.config import JsonDict

from akidb_ray.gateway.rest.schemas import Answer, ProblemAnswer

_TOKEN = "W1swLDEsN11d"  # noqa: S105 - a version, no secret
_VECTOR: JsonDict = {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}


def _vector() -> Any:
    return Field(
        None,
        description="Numbers, or base64 of little-endian float32, as `encoding_format` says.",
        json_schema_extra=_VECTOR,
    )


class WrittenAnswer(Answer):
    """`version` is the token of the write: a read that names it as `min_version` sees it."""

    version: str = Field(examples=[_TOKEN])
    skipped: int = Field(
        description="How many were named or matched, but not changed: missing, or held back by "
        "`mode` or `only_if`.",
        examples=[0],
    )


class UpsertedAnswer(WrittenAnswer):
    acknowledged: int = Field(examples=[1])
    truncated_ids: list[str] | None = Field(
        None, description="Documents whose text is longer than the model reads."
    )


class PatchedAnswer(WrittenAnswer):
    patched: int = Field(examples=[1])


class DeletedAnswer(WrittenAnswer):
    deleted: int = Field(examples=[1])


class ContentsAnswer(Answer):
    id: str = Field(examples=["tt1"])
    version: int = Field(description="Raised by each change of the document.", examples=[7])
    text: str | None = None
    payload: dict[str, Any] | None = Field(None, examples=[{"year": 1999, "genres": ["drama"]}])
    vector: Any = _vector()


class DocumentAnswer(ContentsAnswer):
    """`expires_at` is there when it ever does, in seconds since 1970."""

    expires_at: float | None = None


class DocumentsAnswer(Answer):
    """In the order of the ids; those that do not exist are left out."""

    documents: list[DocumentAnswer]


class ScrollAnswer(Answer):
    """In the order of their ids, by code point."""

    documents: list[DocumentAnswer]
    next_cursor: str | None = Field(description="Null on the last page.", examples=[None])


class CountAnswer(Answer):
    count: int = Field(examples=[1234])


class HitAnswer(ContentsAnswer):
    score: float = Field(examples=[0.83])


class SegmentPlanAnswer(Answer):
    """`way` is `exact`, `mask`, `overfetch` or `text`; see docs/engine.md."""

    rows: int
    allowed: int
    way: str
    candidates: int
    widened: int
    took_ms: float


class ShardPlanAnswer(Answer):
    shard: int
    took_ms: dict[str, float]
    segments: list[SegmentPlanAnswer]


class Timed(Answer):
    """`missing_shards` is there when `partial_results` left shards out."""

    took_ms: float = Field(examples=[1.9])
    missing_shards: list[int] | None = None


class FoundAnswer(Answer):
    """Best first, ties by id."""

    results: list[HitAnswer]
    missing_shards: list[int] | None = None
    explanation: list[ShardPlanAnswer] | None = None


class SearchedAnswer(FoundAnswer, Timed):
    """Best first, ties by id."""


class BatchAnswer(Answer):
    """One for each search, in their order: what it found, or the problem document of its error."""

    results: list[FoundAnswer | ProblemAnswer]
    took_ms: float = Field(examples=[2.7])


class GroupAnswer(Answer):
    value: str | int | float | bool = Field(examples=["drama"])
    results: list[HitAnswer]


class GroupsAnswer(Timed):
    groups: list[GroupAnswer]


class FacetAnswer(Answer):
    value: str | int | float | bool = Field(examples=["drama"])
    count: int = Field(examples=[417])


class FacetsAnswer(Answer):
    """Most frequent first. Without `exact`, a shard has more values than it could tell of, and
    counts may be too small.
    """

    facets: list[FacetAnswer]
    exact: bool = Field(examples=[True])
    took_ms: float = Field(examples=[1.2])
