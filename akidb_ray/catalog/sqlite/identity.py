"""The single row about the catalog itself: which cluster it belongs to, its version, whose term it
is, and the root key's hash.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from akidb_ray.catalog.sqlite.statements import Statement, run
from akidb_ray.catalog.sqlite.tables import catalog_meta
from akidb_ray.catalog.sqlite.transaction import Action, Transaction
from akidb_ray.domain.ids import ClusterId

_STANDING = Statement(
    select(catalog_meta.c.cluster_id, catalog_meta.c.epoch, catalog_meta.c.catalog_version)
)
_ROOT_KEY_HASH = Statement(select(catalog_meta.c.root_key_hash))
_SET_ROOT_KEY_HASH = Statement(update(catalog_meta).values(root_key_hash=bindparam("new")))


@dataclass(frozen=True, slots=True)
class Standing:
    """What a transaction sees: the catalog's version, and the term that it is in."""

    cluster_id: ClusterId
    epoch: int
    version: int


async def create_identity(connection: AsyncConnection, cluster_id: ClusterId) -> None:
    values = {"id": 1, "cluster_id": cluster_id, "catalog_version": 0, "epoch": 0}
    await connection.execute(insert(catalog_meta).values(values))


async def read_standing(connection: AsyncConnection) -> Standing | None:
    """None when the row is missing, which no file that AkiDB finished has."""
    rows = await run(connection, _STANDING, {})
    return Standing(*rows[0].values()) if rows else None


async def begin_term(connection: AsyncConnection) -> None:
    """Raise the epoch: whoever opened the catalog before can't write any more."""
    await connection.execute(update(catalog_meta).values(epoch=catalog_meta.c.epoch + 1))


async def read_root_key_hash(connection: AsyncConnection) -> bytes | None:
    rows = await run(connection, _ROOT_KEY_HASH, {})
    root_key_hash: bytes | None = rows[0]["root_key_hash"]
    return root_key_hash


async def set_root_key_hash(
    transaction: Transaction, cluster_id: ClusterId, root_key_hash: bytes
) -> None:
    former = await read_root_key_hash(transaction.connection)
    await run(transaction.connection, _SET_ROOT_KEY_HASH, {"new": root_key_hash})
    action: Action = "created" if former is None else "updated"
    transaction.record("root_key", cluster_id, action, {})
