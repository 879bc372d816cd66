"""Shapes of request bodies: what OpenAPI shows and pydantic checks."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict

from akidb_ray.domain.collection import (
    HnswEngine,
    IndexKind,
    Language,
    Metric,
    SyncPolicy,
    TieringPolicy,
)

Number = Annotated[float, Strict()]
WholeNumber = Annotated[int, Strict()]
YesNo = Annotated[bool, Strict()]


class Body(BaseModel):
    """A key that is not known is an error, never ignored."""

    model_config = ConfigDict(extra="forbid")


class Changes(BaseModel):
    """What is to change. Fields that never change are refused by the catalog, which says so."""

    model_config = ConfigDict(extra="allow")

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
    name: str | None = None
    slug: str | None = None
    external_id: str | None = None
    status: str | None = None
    quotas: Quotas | None = None
    metadata: dict[str, Any] | None = None


class NewDatabase(Body):
    name: str = Field(examples=["main"])
    description: str = ""


class DatabaseChanges(Changes):
    name: str | None = None
    description: str | None = None


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
        None, description="16 to 4096. May be left out with an embedding_model."
    )
    metric: Metric = Metric.COSINE
    shard_count: WholeNumber = 1
    index_kind: IndexKind = IndexKind.HNSW
    hnsw_m: WholeNumber = 32
    hnsw_ef_construction: WholeNumber = 200
    hnsw_engine: HnswEngine = Field(
        HnswEngine.FAISS, description="The library that builds and searches the graphs."
    )
    language: Language = Field(
        Language.ENGLISH, description="Whose stems the words of texts are reduced to."
    )
    embedding_model: str | None = None
    replica_factor: WholeNumber = 1
    tiering_policy: TieringPolicy = TieringPolicy.MEMORY
    sync_policy: SyncPolicy = SyncPolicy.CONTINUOUS
    wal_retention_seconds: WholeNumber = 604_800
    max_doc_count: WholeNumber = 50_000_000
    description: str = ""


class CollectionChanges(Changes):
    name: str | None = None
    description: str | None = None


def changes_of(body: Changes) -> dict[str, Any]:
    """What the request names, with null where it says so."""
    return body.model_dump(exclude_unset=True, exclude={"if_version"})


class NewDocument(Body):
    id: str
    vector: list[Number] | None = None
    text: str | None = Field(
        None, description="Embedded by the collection's model without a vector."
    )
    payload: dict[str, Any] | None = None


class Upsert(Body):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "documents": [
                        {
                            "id": "tt1",
                            "text": "A heist that goes wrong.",
                            "payload": {"year": 1999, "genres": ["drama"]},
                        }
                    ]
                }
            ]
        },
    )

    documents: list[NewDocument]


class Deletion(Body):
    ids: list[str] | None = Field(None, examples=[["tt1"]])
    filter: dict[str, Any] | None = None


class Count(Body):
    filter: dict[str, Any] | None = None


class SearchParams(Body):
    """`ef`: breadth of the graph search. `exact`: compare with every document instead."""

    ef: WholeNumber | None = None
    exact: YesNo = False


class SearchBody(Body):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": "a heist that goes wrong", "limit": 5},
                {
                    "vector": [0.1, 0.2],
                    "limit": 10,
                    "filter": {
                        "must": [
                            {"key": "year", "range": {"gte": 1990, "lt": 2000}},
                            {"key": "genres", "match": {"any": ["drama"]}},
                        ]
                    },
                },
            ]
        },
    )

    vector: list[Number] | None = None
    text: str | None = None
    limit: WholeNumber = 10
    filter: dict[str, Any] | None = None
    with_payload: YesNo = True
    with_vector: YesNo = False
    params: SearchParams = SearchParams()
