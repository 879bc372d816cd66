"""Shapes of answers about the health of the cluster, as OpenAPI shows them."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from akidb_ray.gateway.rest.schemas import Answer


class AliveAnswer(Answer):
    status: Literal["ok"]


class ReadyAnswer(Answer):
    status: Literal["ready"]


class BackupAnswer(Answer):
    """The newest backup of the catalog. `behind`: something changed since."""

    where: str = Field(examples=["file:///var/lib/akidb/backups"])
    at: datetime | None
    version: int | None = Field(examples=[12])
    behind: bool
    error: str | None = Field(description="Why the last attempt failed.", examples=[None])


class CatalogHealthAnswer(Answer):
    """While it does not answer, `error` says why, and what it would tell is null."""

    alive: bool = Field(examples=[True])
    version: int | None = Field(examples=[12])
    epoch: int | None = Field(examples=[3])
    backup: BackupAnswer | None
    error: str | None = Field(examples=[None])


class StoreHealthAnswer(Answer):
    store_id: str = Field(examples=["0198c0de-7a11-7000-8000-000000000002"])
    host: str = Field(examples=["shard-host-0"])
    alive: bool = Field(examples=[True])


class ClusterHealthAnswer(Answer):
    """By the gateway's copy of the catalog, and by what answers now."""

    status: Literal["ok", "degraded"]
    version: str = Field(description="Of this server.", examples=["2.0.0"])
    catalog_version: int = Field(examples=[12])
    tenants: int = Field(examples=[2])
    collections: int = Field(examples=[5])
    catalog: CatalogHealthAnswer
    stores: list[StoreHealthAnswer]
