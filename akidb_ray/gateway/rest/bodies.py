"""Shapes of request bodies: what OpenAPI shows and pydantic checks."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic.config import JsonDict

from akidb_ray.domain.collection import (
    RANGES,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
    SyncPolicy,
    TieringPolicy,
)
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.tenancy import TenantStatus
from akidb_ray.gateway.rest.complaints import unknown_field
from akidb_ray.gateway.rest.schemas import Answer, CollectionAnswer, DatabaseAnswer, TenantAnswer

Number = Annotated[float, Strict()]
WholeNumber = Annotated[int, Strict()]
YesNo = Annotated[bool, Strict()]


class Body(BaseModel):
    """A key that is not known is an error, never ignored."""

    model_config = ConfigDict(extra="forbid")
    _known: ClassVar[frozenset[str]]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        # Looked at for each document of a request.
        cls._known = frozenset(cls.model_fields)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, value: Any) -> Any:
        # Of many unknown keys only one is complained about.
        if isinstance(value, dict) and not cls._known.issuperset(value):
            raise unknown_field(next(key for key in value if key not in cls._known), cls._known)
        return value


def _showing(*examples: JsonDict) -> ConfigDict:
    """Of changes, which look at fields that are not known themselves."""
    shown: JsonDict = {"additionalProperties": False, "examples": [*examples]}
    return ConfigDict(extra="allow", json_schema_extra=shown)


class Changes(BaseModel):
    """What is to change. Of the other fields that are shown, the catalog says why not."""

    shown: ClassVar[type[Answer]]

    if_version: WholeNumber | None = Field(None, description="Refuse unless it is at this version.")


class OnlyIf(Body):
    """For what has no other body."""

    if_version: WholeNumber | None = Field(None, description="Refuse unless it is at this version.")


class Quotas(Body):
    """The first three are recorded, but not enforced yet: only the value that they have is taken.
    `max_vectors_per_collection` bounds the `max_doc_count` of collections made from then on.
    """

    memory_quota_bytes: WholeNumber | None = None
    storage_quota_bytes: WholeNumber | None = None
    qps_quota: WholeNumber | None = None
    max_collections: WholeNumber | None = Field(None, description="null: no limit.")
    max_vectors_per_collection: WholeNumber | None = Field(None, description="null: no limit.")


class NewTenant(Body):
    name: str = Field(examples=["Acme"])
    slug: str | None = Field(None, examples=["acme"])
    external_id: str | None = None
    quotas: Quotas | None = None
    metadata: dict[str, Any] | None = None


class TenantChanges(Changes):
    model_config = _showing({"name": "Acme Ltd", "quotas": {"max_collections": 20}})
    shown = TenantAnswer

    name: str | None = None
    slug: str | None = None
    external_id: str | None = None
    status: TenantStatus | None = None
    quotas: Quotas | None = None
    metadata: dict[str, Any] | None = None


class NewDatabase(Body):
    name: str = Field(examples=["main"])
    description: str = ""


class DatabaseChanges(Changes):
    model_config = _showing({"description": "What the shop shows."})
    shown = DatabaseAnswer

    name: str | None = None
    description: str | None = None


def _range(setting: str) -> JsonDict:
    """For OpenAPI only: the check itself is made where all who create collections pass."""
    low, high = RANGES[setting]
    return {"minimum": low, "maximum": high}


class NewCollection(Body):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "films", "metric": "cosine", "embedding_model": "all-MiniLM-L6-v2"},
                {"name": "images", "dimension": 512, "metric": "l2", "shard_count": 2},
            ]
        },
    )

    name: str
    dimension: WholeNumber | None = Field(
        None,
        description="May be left out with an embedding_model.",
        json_schema_extra=_range("dimension"),
    )
    metric: Metric = Metric.COSINE
    shard_count: WholeNumber = Field(1, json_schema_extra=_range("shard_count"))
    index_kind: IndexKind = IndexKind.HNSW
    hnsw_m: WholeNumber = Field(32, json_schema_extra=_range("hnsw_m"))
    hnsw_ef_construction: WholeNumber = Field(200, json_schema_extra=_range("hnsw_ef_construction"))
    hnsw_engine: HnswEngine = Field(
        HnswEngine.FAISS, description="The library that builds and searches the graphs."
    )
    language: Language = Field(
        Language.ENGLISH, description="Whose stems the words of texts are reduced to."
    )
    embedding_model: str | None = None
    replica_factor: WholeNumber = Field(1, json_schema_extra=_range("replica_factor"))
    tiering_policy: TieringPolicy = TieringPolicy.MEMORY
    sync_policy: SyncPolicy = SyncPolicy.CONTINUOUS
    wal_retention_seconds: WholeNumber = Field(
        604_800, json_schema_extra=_range("wal_retention_seconds")
    )
    max_doc_count: WholeNumber = Field(50_000_000, json_schema_extra=_range("max_doc_count"))
    description: str = ""


class CollectionChanges(Changes):
    model_config = _showing({"description": "All films since 1895.", "if_version": 1})
    shown = CollectionAnswer

    name: str | None = None
    description: str | None = None


def changes_of(body: Changes) -> dict[str, Any]:
    """What the request names, with null where it says so.

    Raises InvalidArgument for a field that is not known, with those that can change.
    """
    known = ", ".join(sorted(type(body).model_fields.keys() - {"if_version"}))
    for name in body.model_extra or {}:
        if name not in body.shown.model_fields:
            raise InvalidArgument(name, f"is not a field that can change; these can: {known}")
    return body.model_dump(exclude_unset=True, exclude={"if_version"})


def refuse_quotas_outside(body: TenantChanges) -> None:
    """Raises InvalidArgument for a quota beside `quotas`, where it might contradict one in it."""
    for name in body.model_extra or {}:
        if name in Quotas.model_fields:
            raise InvalidArgument(name, "is inside quotas")
