"""What the catalog takes: create, get, list 100, update, at the repository and at its actor.

    python -m bench.catalog [--tenants 10000] [--collections 100000] [--calls 500] [--folder DIR]

The catalog is filled first, so that the figures are those of a large one. The disk's own fsync
stands beside the changes, because it is their floor. Also measured: opening it, the whole that a
gateway loads, what one change sends to those that follow, a search by words, a backup. Prints a
table, and writes bench/results/catalog.json. Nothing here searches vectors, so there is no recall.
"""

import argparse
import asyncio
import json
import logging
import os
import pickle
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.repositories import CatalogStore
from akidb_ray.catalog.sqlite.copying import copy_database
from akidb_ray.catalog.sqlite.store import SqliteStore
from akidb_ray.domain.collection import Collection, CollectionSpec, CollectionState
from akidb_ray.domain.directory import Directory
from akidb_ray.domain.ids import CollectionId, DatabaseId, StoreId, TenantId
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.placement import ShardPlacement
from akidb_ray.domain.tenancy import Database, DatabaseState, Tenant, TenantStatus
from akidb_ray.settings import Settings

STORE = StoreId.parse("01990000-0000-7000-8000-000000000001")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "indigo")
LATENCIES = ("create", "get", "list 100", "update")


@dataclass(frozen=True)
class Latency:
    """Of one kind of call, by one caller."""

    layer: str
    call: str
    p50_ms: float
    p95_ms: float
    p99_ms: float


async def timed(layer: str, call: str, calls: int, one: Callable[[int], Awaitable[Any]]) -> Latency:
    """`one` makes call number n."""
    took_ms = []
    for number in range(calls):
        started = time.perf_counter()
        await one(number)
        took_ms.append((time.perf_counter() - started) * 1000)
    return Latency(layer, call, *map(float, np.percentile(took_ms, [50, 95, 99])))


def tenant(number: int) -> Tenant:
    now = datetime.now(UTC)
    name = f"{WORDS[number % len(WORDS)].title()} {WORDS[number // 7 % len(WORDS)]} {number}"
    return Tenant(TenantId.new(), name, f"tenant-{number}", TenantStatus.ACTIVE, now, now)


async def fill(store: CatalogStore, tenants: int, collections: int) -> list[Tenant]:
    """A database for each tenant, and the collections spread over them, with one shard each."""
    made = [tenant(number) for number in range(tenants)]
    async with store.writing() as repositories:
        await repositories.placement.register_store(STORE, "host")
    for first in range(0, tenants, 500):
        async with store.writing() as repositories:
            for number in range(first, min(first + 500, tenants)):
                one = made[number]
                await repositories.tenants.add(one)
                times = one.created_at, one.updated_at
                database = Database(
                    DatabaseId.new(), one.tenant_id, "main", DatabaseState.READY, *times
                )
                await repositories.databases.add(database)
                share = range(
                    number * collections // tenants, (number + 1) * collections // tenants
                )
                for place in share:
                    await add_collection(repositories, database, place)
    return made


async def add_collection(repositories: Any, database: Database, number: int) -> None:
    collection = Collection(
        CollectionId.new(),
        database.database_id,
        f"{WORDS[number % len(WORDS)]}-{number}",
        CollectionSpec(384),
        CollectionState.READY,
        database.created_at,
        database.updated_at,
        f"documents about {WORDS[number // 5 % len(WORDS)]}",
    )
    await repositories.collections.add(collection)
    await repositories.placement.place(collection.collection_id, [ShardPlacement(0, STORE)])


async def at_repository(store: CatalogStore, made: list[Tenant], calls: int) -> list[Latency]:
    """Each call in a transaction of its own; changes are durable when it ends."""

    async def create(number: int) -> None:
        async with store.writing() as repositories:
            await repositories.tenants.add(tenant(10**6 + number))

    async def get(number: int) -> None:
        async with store.reading() as repositories:
            await repositories.tenants.get(made[number * 37 % len(made)].tenant_id)

    cursors: list[str | None] = [None]

    async def list_page(number: int) -> None:
        async with store.reading() as repositories:
            page = await repositories.tenants.list(Listing(limit=100, cursor=cursors[-1]))
        cursors.append(page.next_cursor)

    async def update(number: int) -> None:
        async with store.writing() as repositories:
            read = await repositories.tenants.get(made[number * 37 % len(made)].tenant_id)
            await repositories.tenants.update(replace(read, name=f"renamed {number}"))

    asked = zip(LATENCIES, (create, get, list_page, update), strict=True)
    return [await timed("repository", call, calls, one) for call, one in asked]


async def at_catalog(
    layer: str, catalog: Any, perform: Callable[..., Awaitable[Any]], made: list[Tenant], calls: int
) -> list[Latency]:
    """`perform(method, *arguments)` calls a method of the catalog."""
    cursors: list[str | None] = [None]

    async def list_page(number: int) -> None:
        page = await perform("list_tenants", Listing(limit=100, cursor=cursors[-1]))
        cursors.append(page.next_cursor)

    def one_of(number: int) -> TenantId:
        return made[number * 41 % len(made)].tenant_id

    ones: Mapping[str, Callable[[int], Awaitable[Any]]] = {
        "create": lambda n: perform("create_tenant", f"{layer} {n}", f"{layer}-{n}"),
        "get": lambda n: perform("get_tenant", one_of(n)),
        "list 100": list_page,
        "update": lambda n: perform("update_tenant", one_of(n), {"name": f"{layer} named {n}"}),
    }
    return [await timed(layer, call, calls, ones[call]) for call in LATENCIES]


async def around(catalog: StoredCatalog, file: Path, made: list[Tenant]) -> dict[str, float]:
    """What else must stay fast in a large catalog."""
    figures: dict[str, float] = {}
    started = time.perf_counter()
    whole = await catalog.watch(0, 0.0)
    figures["whole: read s"] = time.perf_counter() - started
    assert whole is not None
    started = time.perf_counter()
    sent = pickle.dumps(whole)
    figures["whole: pickled MiB"] = len(sent) / 2**20
    received = pickle.loads(sent)
    figures["whole: pickled and back s"] = time.perf_counter() - started
    started = time.perf_counter()
    directory = Directory(received)
    figures["whole: directory made s"] = time.perf_counter() - started

    waiting = asyncio.create_task(catalog.watch(directory.version, 10.0))
    await asyncio.sleep(0)
    started = time.perf_counter()
    await catalog.update_tenant(made[0].tenant_id, {"name": "watched"})
    update = await waiting
    assert update is not None
    assert not update.whole
    directory.apply(update)
    figures["a change until it is applied ms"] = (time.perf_counter() - started) * 1000

    searches = [
        await timed(
            "", "", 100, lambda n: catalog.list_tenants(Listing(100, text=WORDS[n % len(WORDS)]))
        )
    ]
    figures["list 100 by a word, p95 ms"] = searches[0].p95_ms
    started = time.perf_counter()
    await asyncio.to_thread(copy_database, file, file.with_name("backup.sqlite"))
    figures["backup, verified s"] = time.perf_counter() - started
    return figures


def fsync_floor(folder: Path) -> Latency:
    """Appending 4 KiB and making it durable, as a commit does at the least."""
    took_ms = []
    with (folder / "floor").open("wb") as file:
        for _ in range(200):
            started = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            took_ms.append((time.perf_counter() - started) * 1000)
    return Latency("disk", "fsync", *map(float, np.percentile(took_ms, [50, 95, 99])))


async def in_process(
    folder: Path, tenants: int, collections: int, calls: int
) -> tuple[list[Latency], dict[str, float], list[Tenant]]:
    file = folder / "catalog" / "catalog.sqlite"
    file.parent.mkdir()
    store = await SqliteStore.open(file, lambda: datetime.now(UTC), create=True)
    started = time.perf_counter()
    made = await fill(store, tenants, collections)
    filled_s = time.perf_counter() - started
    latencies = [fsync_floor(folder), *await at_repository(store, made, calls)]
    await store.close()
    started = time.perf_counter()
    catalog = await StoredCatalog.open(file, lambda: datetime.now(UTC), create=False)
    figures = {"filled s": filled_s, "opening s": time.perf_counter() - started}

    async def perform(method: str, *arguments: Any) -> Any:
        return await getattr(catalog, method)(*arguments)

    latencies += await at_catalog("catalog", catalog, perform, made, calls)
    figures |= await around(catalog, file, made)
    await catalog.close()
    return latencies, figures, made


def through_actor(folder: Path, made: list[Tenant], calls: int) -> list[Latency]:
    """The same catalog behind its actor, called from a driver of a Ray of its own."""
    import ray

    from akidb_ray.cluster.catalog_actor import CatalogActor

    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        actor: Any = ray.remote(CatalogActor).remote(str(folder), Settings())

        async def perform(method: str, *arguments: Any) -> Any:
            return await actor.perform.remote(method, *arguments)

        async def measured() -> list[Latency]:
            await perform("get_tenant", made[0].tenant_id)
            return await at_catalog("actor", actor, perform, made, calls)

        latencies = asyncio.run(measured())
        ray.get(actor.stop.remote())
        return latencies
    finally:
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--collections", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        latencies, figures, made = asyncio.run(
            in_process(Path(name), options.tenants, options.collections, options.calls)
        )
        latencies += through_actor(Path(name), made, options.calls)
    print(f"{'':>11} {'':<9} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}")
    for one in latencies:
        times = f"{one.p50_ms:>8.2f} {one.p95_ms:>8.2f} {one.p99_ms:>8.2f}"
        print(f"{one.layer:>11} {one.call:<9} {times}")
    for title, value in figures.items():
        print(f"{title:>34}  {value:,.2f}")
    target = Path(__file__).parent / "results" / "catalog.json"
    target.parent.mkdir(exist_ok=True)
    result = {
        "tenants": options.tenants,
        "collections": options.collections,
        "latencies": [asdict(one) for one in latencies],
        "figures": figures,
    }
    target.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
