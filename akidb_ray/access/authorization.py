"""The seam that every route, call and command goes through.

`authorize` answers with the rows that the principal may see, which every read and write of a shard
takes along. Today there is one principal, the root administrator, who may do everything.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from akidb_ray.domain.errors import Forbidden
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import TenantId


class Action(StrEnum):
    READ_TENANT = "read_tenant"
    WRITE_TENANT = "write_tenant"
    READ_DATABASE = "read_database"
    WRITE_DATABASE = "write_database"
    READ_COLLECTION = "read_collection"
    WRITE_COLLECTION = "write_collection"
    READ_DOCUMENTS = "read_documents"
    WRITE_DOCUMENTS = "write_documents"
    READ_CLUSTER = "read_cluster"
    EMBED_TEXTS = "embed_texts"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `tenant_id` is None for the root administrator only."""

    name: str
    tenant_id: TenantId | None = None

    @property
    def is_root(self) -> bool:
        return self.tenant_id is None


ROOT = Principal("root")


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked for. No tenant: something of the whole cluster."""

    kind: str
    name: str
    tenant_id: TenantId | None = None


class Authorizer(Protocol):
    def authorize(self, principal: Principal, action: Action, resource: Resource) -> RowFilter:
        """The rows that `principal` may reach by `action` on `resource`. Raises Forbidden."""


class RootOnly:
    """The root administrator may do everything, unfiltered; nobody else may do anything."""

    def authorize(self, principal: Principal, action: Action, resource: Resource) -> RowFilter:
        if not principal.is_root:
            raise Forbidden(f"{principal.name} may not {action} {resource.kind} {resource.name}")
        return RowFilter()
