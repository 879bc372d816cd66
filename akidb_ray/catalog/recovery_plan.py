"""What a catalog lacks, found again from the shards: which collections to add, and which not.

Deciding is a function over values: what was found on disk, and what the catalog knows. Nothing is
ever changed or removed that the catalog has, and no folder is touched. What isn't clear is left out
and reported: a shard too few or too many, manifests that can't be read or contradict each other,
and whatever a deletion had begun to remove.
"""

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from akidb_ray.catalog.repositories import Repositories
from akidb_ray.catalog.rules.references import every
from akidb_ray.domain.collection import Collection, CollectionSpec, CollectionState, check_spec
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.found_shards import FoundShard
from akidb_ray.domain.ids import CollectionId, DatabaseId, EntityId, StoreId, TenantId
from akidb_ray.domain.jobs import JobState
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import (
    DEFAULT_NAME,
    MAX_NAME_CHARACTERS,
    Database,
    DatabaseState,
    Tenant,
    TenantStatus,
    check_name,
    check_slug,
    slug_from,
)

NEVER_BROUGHT_BACK = (
    "users and their passwords",
    "quotas, statuses, metadata, external ids and full names of tenants that were added",
    "descriptions, and times of creation",
    "new names of what was renamed: added things have the names of when the collection was made",
    "tenants and databases without a collection",
)


class Outcome(StrEnum):
    ADDED = "added"
    THERE = "already there"
    LEFT = "can't be brought back"


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of one thing, and what a person should know about it."""

    outcome: Outcome
    kind: str
    name: str
    id: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What a catalog has that matters here. `deleted` are the ids of all that its jobs remove."""

    tenants: tuple[Tenant, ...] = ()
    databases: tuple[Database, ...] = ()
    collections: tuple[Collection, ...] = ()
    stores: frozenset[StoreId] = frozenset()
    deleted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What to add, in an order in which it can be added, and the report."""

    lines: tuple[Line, ...]
    tenants: tuple[Tenant, ...] = ()
    databases: tuple[Database, ...] = ()
    collections: tuple[tuple[Collection, tuple[ShardPlacement, ...]], ...] = ()
    stores: tuple[StoreId, ...] = ()


async def read_known(repos: Repositories) -> Known:
    tenants = [tenant async for tenant in every(repos.tenants.list)]
    databases: list[Database] = []
    collections: list[Collection] = []
    for tenant in tenants:
        of_tenant = functools.partial(repos.databases.list, tenant.tenant_id)
        databases += [database async for database in every(of_tenant)]
    for database in databases:
        of_database = functools.partial(repos.collections.list, database.database_id)
        collections += [collection async for collection in every(of_database)]
    jobs = [job async for job in every(functools.partial(repos.jobs.list, None))]
    # A job that was cancelled left whole what it had not come to.
    deleted = frozenset(job.subject_id for job in jobs if job.state is not JobState.CANCELLED)
    stores = frozenset(await repos.placement.stores())
    return Known(tuple(tenants), tuple(databases), tuple(collections), stores, deleted)


def plan_recovery(found: Iterable[FoundShard], known: Known, now: datetime) -> Recovery:
    """Decide what to add to the catalog that has `known`."""
    by_collection: dict[CollectionId, list[FoundShard]] = defaultdict(list)
    for shard in found:
        by_collection[shard.key.collection_id].append(shard)
    building = _Building(known, now)
    for collection_id in sorted(by_collection):
        shards = sorted(by_collection[collection_id], key=lambda s: (s.key, s.store_id))
        building.collection(collection_id, shards)
    return building.result()


def with_default(recovery: Recovery, now: datetime) -> Recovery:
    """The same, with the tenant and the database `default`, which every new catalog has."""
    building = _Building(Known(recovery.tenants, recovery.databases), now)
    slugs = {tenant.slug: tenant.tenant_id for tenant in recovery.tenants}
    tenant_id = slugs.get(DEFAULT_NAME) or building.tenant(TenantId.new(), DEFAULT_NAME)
    names = {database.name for database in recovery.databases if database.tenant_id == tenant_id}
    if DEFAULT_NAME not in names:
        building.database(tenant_id, None, DEFAULT_NAME)
    added = building.result()
    return replace(
        recovery,
        lines=(*added.lines, *recovery.lines),
        tenants=(*added.tenants, *recovery.tenants),
        databases=(*added.databases, *recovery.databases),
    )


async def carry_out(recovery: Recovery, repos: Repositories) -> None:
    """Add it all, in the transaction of `repos`."""
    for tenant in recovery.tenants:
        await repos.tenants.add(tenant)
    for database in recovery.databases:
        await repos.databases.add(database)
    for store_id in recovery.stores:
        await repos.placement.register_store(store_id, "")
    for collection, placements in recovery.collections:
        await repos.collections.add(collection)
        await repos.placement.place(collection.collection_id, placements)


def why_left(shards: Sequence[FoundShard], deleted: frozenset[str]) -> str:
    """Why a collection with these shards can't be added; "" when it can."""
    key = shards[0].key
    ids = (key.collection_id, key.tenant_id, shards[0].database_id)
    if any(str(one) in deleted for one in ids if one is not None):
        return "its deletion was begun; what is left of it is not whole"
    broken = [f"{shard.folder}: {shard.problem}" for shard in shards if shard.problem]
    if broken:
        return "; ".join(broken)
    if len({shard.key.tenant_id for shard in shards}) > 1:
        return "its shards lie in the folders of more than one tenant"
    spec = shards[0].spec
    if spec is None or any(shard.spec != spec for shard in shards):
        return "its shards disagree about its settings"
    return _why_settings(spec) or _why_numbers([s.key.number for s in shards], spec.shard_count)


def _why_settings(spec: CollectionSpec) -> str:
    try:
        check_spec(spec)
    except InvalidArgument as error:
        return error.detail
    return ""


def _why_numbers(numbers: Sequence[int], shard_count: int) -> str:
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        return f"more than one store has its shards {', '.join(map(str, twice))}"
    missing = sorted(set(range(shard_count)) - set(numbers))
    if missing:
        listed = ", ".join(map(str, missing))
        return f"no store here has its shards {listed}, of {shard_count}"
    if len(numbers) > shard_count:
        return f"it has {len(numbers)} shards, and its settings say {shard_count}"
    return ""


@dataclass
class _Building:
    """A recovery under way: names that are taken, and what was decided so far."""

    known: Known
    now: datetime
    lines: list[Line] = field(default_factory=list)
    tenants: dict[TenantId, Tenant] = field(default_factory=dict)
    databases: dict[DatabaseId, Database] = field(default_factory=dict)
    collections: list[tuple[Collection, tuple[ShardPlacement, ...]]] = field(default_factory=list)
    stores: set[StoreId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._tenant_ids = {tenant.tenant_id for tenant in self.known.tenants}
        self._slugs = {tenant.slug for tenant in self.known.tenants}
        self._databases = {d.database_id: d for d in self.known.databases}
        self._collections = {c.collection_id: c for c in self.known.collections}
        self._names = {(c.database_id, c.name) for c in self.known.collections}

    def collection(self, collection_id: CollectionId, shards: Sequence[FoundShard]) -> None:
        there = self._collections.get(collection_id)
        if there is not None:
            self._line(Outcome.THERE, "collection", there.name, collection_id)
            return
        first = shards[0]
        reason = why_left(shards, self.known.deleted) or self._why_database(first)
        if reason or first.spec is None:
            name = next((shard.collection for shard in shards if shard.collection), "")
            self._line(Outcome.LEFT, "collection", name, collection_id, reason)
            return
        tenant_id = self.tenant(first.key.tenant_id, first.tenant)
        database_id = self.database(tenant_id, first.database_id, first.database)
        taken = {name for owner, name in self._names if owner == database_id}
        wanted = f"recovered-{collection_id}"
        name, note = _free_name(first.collection, wanted, taken)
        self._names.add((database_id, name))
        made = Collection(
            collection_id, database_id, name, first.spec, CollectionState.READY, self.now, self.now
        )
        placements = [ShardPlacement(s.key.number, s.store_id, s.epoch) for s in shards]
        self.collections.append((made, tuple(placements)))
        self.stores.update(shard.store_id for shard in shards)
        self._line(Outcome.ADDED, "collection", name, collection_id, note)

    def tenant(self, tenant_id: TenantId, slug: str) -> TenantId:
        """The tenant of this id, which is added when it is missing."""
        if tenant_id in self._tenant_ids:
            return tenant_id
        self._tenant_ids.add(tenant_id)
        free, note = _free_slug(slug, self._slugs)
        self._slugs.add(free)
        self.tenants[tenant_id] = Tenant(
            tenant_id, slug or free, free, TenantStatus.ACTIVE, self.now, self.now
        )
        self._line(Outcome.ADDED, "tenant", free, tenant_id, note)
        return tenant_id

    def database(
        self, tenant_id: TenantId, database_id: DatabaseId | None, name: str
    ) -> DatabaseId:
        """The database of this id, else of this name, in the tenant; added when it is missing."""
        known = self._known_database(tenant_id, database_id, name)
        if known is not None:
            return known.database_id
        own = {d.name for d in self._databases.values() if d.tenant_id == tenant_id}
        new_id = database_id
        if new_id is None or new_id in self._databases:
            new_id = DatabaseId.new()
        free, note = _free_name(name, DEFAULT_NAME, own)
        made = Database(new_id, tenant_id, free, DatabaseState.READY, self.now, self.now)
        self._databases[new_id] = self.databases[new_id] = made
        self._line(Outcome.ADDED, "database", free, new_id, note)
        return new_id

    def _known_database(
        self, tenant_id: TenantId, database_id: DatabaseId | None, name: str
    ) -> Database | None:
        own = [d for d in self._databases.values() if d.tenant_id == tenant_id]
        if database_id is not None:
            return next((d for d in own if d.database_id == database_id), None)
        return next((d for d in own if d.name == (name or DEFAULT_NAME)), None)

    def _why_database(self, shard: FoundShard) -> str:
        known = self._known_database(shard.key.tenant_id, shard.database_id, shard.database)
        if known is None or known.state is not DatabaseState.DELETING:
            return ""
        return f"its database {known.name!r} is being deleted"

    def result(self) -> Recovery:
        return Recovery(
            lines=tuple(self.lines),
            tenants=tuple(self.tenants.values()),
            databases=tuple(self.databases.values()),
            collections=tuple(self.collections),
            stores=tuple(sorted(self.stores - self.known.stores)),
        )

    def _line(
        self, outcome: Outcome, kind: str, name: str, entity_id: EntityId, note: str = ""
    ) -> None:
        self.lines.append(Line(outcome, kind, name, str(entity_id), note))


def _free_name(found: str, guess: str, taken: set[str]) -> tuple[str, str]:
    """A name that nothing has, and what to say about it: the found one, if it can be."""
    try:
        wanted, note = check_name(found), ""
    except InvalidArgument:
        wanted, note = guess, "its name is not known"
    if wanted not in taken:
        return wanted, note
    numbered = (f"{wanted[: MAX_NAME_CHARACTERS - 12]}-{number}" for number in itertools.count(2))
    free = next(name for name in numbered if name not in taken)
    return free, f"{wanted!r} is another one's name"


def _free_slug(found: str, taken: set[str]) -> tuple[str, str]:
    try:
        wanted, note = check_slug(found), ""
    except InvalidArgument:
        wanted, note = "recovered", "its slug is not known"
    if wanted not in taken:
        return wanted, note
    slugs = (slug_from(wanted, attempt) for attempt in itertools.count(1))
    free = next(slug for slug in slugs if slug not in taken)
    return free, note or f"{wanted!r} is another one's slug"
