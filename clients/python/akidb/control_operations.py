"""Requests about tenants, databases, collections and jobs, and how their answers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict, TypeVar

from akidb.errors import AlreadyExists
from akidb.requests import Operation, Request, given, json_request, path_of
from akidb.values import (
    CollectionInfo,
    Database,
    Job,
    Page,
    Tenant,
    collection_of,
    database_of,
    job_of,
    tenant_of,
)

T = TypeVar("T")
DEFAULT_NAME = "default"
TENANTS = "/v2/tenants"
JOBS = "/v2/jobs"
_SHORT_FORM = "/v1/collections"


class CollectionSettings(TypedDict, total=False):
    """Settings of a new collection; those that are left out have the server's defaults. One of
    `dimension` and `embedding_model` is needed.
    """

    dimension: int
    metric: Literal["cosine", "dot", "l2"]
    shard_count: int
    index_kind: str
    hnsw_m: int
    hnsw_ef_construction: int
    hnsw_engine: Literal["faiss", "hnswlib"]
    language: str
    embedding_model: str
    replica_factor: int
    max_doc_count: int
    wal_retention_seconds: int
    description: str


class TenantSettings(TypedDict, total=False):
    """Of a tenant: a slug is made from the name when none is given."""

    slug: str
    external_id: str
    quotas: Mapping[str, int | None]
    metadata: Mapping[str, Any]


class ListQuery(TypedDict, total=False):
    """Which things a list shows: `q` holds words that name or description must have, `limit` is the
    size of the pages that are fetched behind the scenes.
    """

    q: str
    limit: int
    order: Literal["created", "name"]
    descending: bool
    state: str


def collections_path(tenant: str | None, database: str | None) -> str:
    """Where collections are. Without a tenant and a database they are those of the key's tenant."""
    if tenant is None and database is None:
        return _SHORT_FORM
    return (
        f"{databases_path(tenant or DEFAULT_NAME)}{path_of(database or DEFAULT_NAME)}/collections"
    )


def databases_path(tenant: str) -> str:
    return f"{TENANTS}{path_of(tenant)}/databases"


def create(path: str, body: Mapping[str, Any], parse: Callable[[Any], T]) -> Operation[T]:
    """Make a thing of a list. Not repeatable: the second time it exists already."""
    return Operation(json_request("POST", path, given(**body), repeatable=False), parse)


def read(path: str, parse: Callable[[Any], T]) -> Operation[T]:
    return Operation(Request("GET", path), parse)


def update(
    path: str, changes: Mapping[str, Any], if_version: int | None, parse: Callable[[Any], T]
) -> Operation[T]:
    """Change what is named. Under a condition it is not repeatable: what it did itself would make
    the condition fail.
    """
    body = {**changes, **given(if_version=if_version)}
    return Operation(json_request("PATCH", path, body, repeatable=if_version is None), parse)


def list_page(
    path: str, kind: str, query: Mapping[str, Any], cursor: str | None, parse: Callable[[Any], T]
) -> Operation[Page[T]]:
    shown = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given(**query, cursor=cursor).items()
    }

    def page_of(answer: Any) -> Page[T]:
        return Page([parse(item) for item in answer[kind]], answer["next_cursor"])

    return Operation(Request("GET", path, query=shown), page_of)


def remove(path: str, method: str, wait_s: float, **query: str) -> Operation[Job | None]:
    """Begin the job that removes a thing. None: it is gone; else the job, which goes on."""
    shown = {"wait_s": f"{wait_s:.3f}", **query}
    return Operation(
        Request(method, path, query=shown),
        lambda answer: None if answer is None else job_of(answer),
    )


def move_tenant(tenant: str, verb: str) -> Operation[Tenant]:
    """`verb` is suspend, resume, or decommission, which is for good."""
    path = f"{TENANTS}{path_of(tenant)}"
    # Not repeatable: from the state it leads to, a move is not always allowed.
    if verb == "decommission":
        return Operation(Request("DELETE", path, repeatable=False), tenant_of)
    return Operation(Request("POST", f"{path}/{verb}", repeatable=False), tenant_of)


def get_tenant(tenant: str) -> Operation[Tenant]:
    return read(f"{TENANTS}{path_of(tenant)}", tenant_of)


def get_database(tenant: str, name: str) -> Operation[Database]:
    return read(f"{databases_path(tenant)}{path_of(name)}", database_of)


def get_collection(path: str) -> Operation[CollectionInfo]:
    return read(path, collection_of)


def check_settings(there: CollectionInfo, given_settings: Mapping[str, Any]) -> None:
    """Raises AlreadyExists for a setting that the collection was made with otherwise. Its
    description, which can change, says nothing.
    """
    for name, asked in given(**given_settings).items():
        if name == "description":
            continue
        if name not in there.settings:
            raise TypeError(f"a collection has no setting {name!r}")
        made = there.settings[name]
        if made != asked:
            raise AlreadyExists(
                f"collection {there.name!r} exists with {name} {made!r}, not {asked!r}",
                fields={"field": name, "existing": made, "given": asked},
            )


def get_job(job_id: str) -> Operation[Job]:
    return read(f"{JOBS}{path_of(job_id)}", job_of)


def cancel_job(job_id: str) -> Operation[Job]:
    return Operation(Request("POST", f"{JOBS}{path_of(job_id)}/cancel"), job_of)
