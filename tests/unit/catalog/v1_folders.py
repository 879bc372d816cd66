"""Data folders of AkiDB 1.x, made up from a seed; what is in a folder, and in a catalog."""

import asyncio
import contextlib
import json
import random
import resource
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from akidb_ray.catalog.catalog import StoredCatalog
from akidb_ray.catalog.v1.migration import migrate
from akidb_ray.catalog.v1.report import MigrationReport
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.listing import Listing
from akidb_ray.domain.tenancy import Tenant

T = TypeVar("T")

SAMPLES = Path(__file__).parents[2] / "data" / "v1_tenants"

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

STATUSES = ("provisioning", "active", "suspended", "decommissioned")
NAMES = (
    "Acme Robotics",
    "Bücher & Söhne",
    "東京データ株式会社",
    "ООО «Ромашка»",
    "שלום בע״מ",
    'O\'Neill, "Sons" <& Co>',
    "🚀 Rocket",
    "default",
    "n" * 255,
    "Ａｃｍｅ Ｒｏｂｏｔｉｃｓ",
)
SLUGS = (None, None, "acme", "default", "", "Not Valid", "-edge", "x" * 63, "x" * 64, "a")
TIMES = (
    "2023-01-01T00:00:00Z",
    "2024-02-29T23:59:59.999999+14:00",
    "2025-03-14T09:26:53.123456789-09:30",
    "2022-12-31T12:00:00",
)
ARGON2ID = (
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZS1zYWx0LWhlcmU$dGhlLXRhZy10aGF0LWlzLTMyLWJ5dGVzLWxvbmctLQ"
)
SHA256 = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
HASHES = (ARGON2ID, SHA256, SHA256.lower(), "$2b$12$bcrypt-is-not-known-here", "", None)
QUOTAS = {
    "max_storage_bytes": (0, 10**9, 2**63 - 1),
    "api_rate_limit_per_second": (0, 20, 4000),
    "max_vectors_per_collection": (None, 1, 10**7),
    "max_collections": (None, 0, 50),
}

Manifest = dict[str, Any]


def manifests(count: int, seed: int) -> list[Manifest]:
    """As 1.x could have written them: all valid, whatever is optional there or not."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        manifest: Manifest = {
            "tenant_id": id_form(
                rng, uuid.UUID(int=rng.getrandbits(128), version=rng.choice((1, 4)))
            ),
            "name": rng.choice(NAMES) if rng.random() < 0.7 else f"Tenant № {number}",
            "status": STATUSES[number % len(STATUSES)],
            "created_at": rng.choice(TIMES),
        }
        if rng.random() < 0.7:
            manifest["slug"] = rng.choice((*SLUGS, f"tenant-{number}"))
        if rng.random() < 0.7:
            chosen = [name for name in QUOTAS if rng.random() < 0.7]
            manifest["quotas"] = {name: rng.choice(QUOTAS[name]) for name in chosen}
        if rng.random() < 0.7:
            manifest["metadata"] = rng.choice((None, {}, {"plan": "größer", "deep": [{"n": 1.5}]}))
        if rng.random() < 0.9:
            manifest["api_key_hash"] = rng.choice(HASHES)
        made.append(manifest)
    return made


def manifest(**fields: Any) -> Manifest:
    """A sound one, with these fields; None leaves a field out."""
    sound = {
        "tenant_id": "tenant_00000000000040008000000000000001",
        "name": "Acme Robotics",
        "slug": "acme",
        "status": "active",
        "created_at": "2025-03-14T09:26:53Z",
        "api_key_hash": ARGON2ID,
    }
    return {name: value for name, value in {**sound, **fields}.items() if value is not None}


def write(folder: Path, contents: Iterable[Manifest], seed: int = 0) -> Path:
    """Lay them out in both ways, mixed. Returns the data folder."""
    rng = random.Random(seed)
    tenants = folder / "tenants"
    tenants.mkdir(parents=True, exist_ok=True)
    for content in contents:
        name = id_form(rng, uuid_of(content))
        path = tenants / f"{name}.json"
        if rng.random() < 0.5:
            path = tenants / name / "manifest.json"
            path.parent.mkdir()
        path.write_text(json.dumps(content, ensure_ascii=rng.random() < 0.5), encoding="utf-8")
    return folder


def id_form(rng: random.Random, value: uuid.UUID) -> str:
    return rng.choice(("", "tenant_")) + rng.choice((str(value), value.hex))


def uuid_of(content: Mapping[str, Any]) -> uuid.UUID:
    return uuid.UUID(str(content["tenant_id"]).removeprefix("tenant_"))


def tree(folder: Path, without: Sequence[str] = ()) -> dict[str, bytes | None]:
    """All below a folder: files with their bytes, folders and links with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name not in without
    }


def in_catalog(file: Path, work: Callable[[StoredCatalog], Awaitable[T]]) -> T:
    """Open the catalog as a server does, work on it, close it."""

    async def opened() -> T:
        catalog = await StoredCatalog.open(file, lambda: NOW, create=False)
        try:
            return await work(catalog)
        finally:
            await catalog.close()

    return asyncio.run(opened())


def make_catalog(file: Path) -> None:
    """As a new server does."""

    async def made() -> None:
        await (await StoredCatalog.open(file, lambda: NOW, create=True)).close()

    asyncio.run(made())


def tenants_in(file: Path) -> dict[TenantId, Tenant]:
    """All of them but `default`, which each new catalog holds."""

    async def listed(catalog: StoredCatalog) -> dict[TenantId, Tenant]:
        page = await catalog.list_tenants(Listing(limit=1000))
        assert page.next_cursor is None
        return {tenant.tenant_id: tenant for tenant in page.items if tenant.slug != "default"}

    return in_catalog(file, listed)


# Not the catalog: SQLite's companions, which reading leaves, the lock, and the log.
BESIDES = ("catalog.sqlite-shm", "catalog.sqlite-wal", "LOCK", "migration.log")


def run_migration(v1: Path, file: Path, **options: Any) -> MigrationReport:
    """Migrate; and whatever happens, the 1.x data stays as it is."""
    before = tree(v1)
    try:
        return migrate(v1, file, options.pop("clock", lambda: NOW), **options)
    finally:
        assert tree(v1) == before


@contextlib.contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """The operating system refuses to write more into any file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
