"""The one transaction that brings tenants of 1.x into a catalog."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from akidb_ray.catalog.repositories import CatalogStore, Repositories
from akidb_ray.catalog.v1.manifests import BadManifest, V1Tenant
from akidb_ray.catalog.v1.report import MigrationRefused
from akidb_ray.catalog.v1.translation import (
    Translated,
    administrator_email,
    choose_slugs,
    differences,
    translate,
)
from akidb_ray.domain.errors import AlreadyExists, InvalidArgument, NotFound
from akidb_ray.domain.ids import TenantId
from akidb_ray.domain.listing import MAX_PAGE_ROWS, Listing
from akidb_ray.domain.tenancy import Tenant, User

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Written:
    """`new` were written; `present` were there already, with the values of their manifests."""

    new: tuple[Translated, ...]
    present: Mapping[TenantId, Tenant]


async def write_tenants(
    store: CatalogStore, sources: Sequence[V1Tenant], progress: Progress
) -> Written:
    """All of them or, with an exception, none. `progress` is told how many are done, of how many.

    Raises MigrationRefused when the catalog has one of them with other values, or refuses one.
    """
    async with store.writing() as repositories:
        there = {tenant.tenant_id: tenant for tenant in await _all_tenants(repositories)}
        known = [source for source in sources if source.tenant_id in there]
        await _check_same(repositories, known, there)
        new = [source for source in sources if source.tenant_id not in there]
        chosen = choose_slugs(new, {tenant.slug for tenant in there.values()})
        translated = tuple(
            translate(source, chosen[source.tenant_id], repositories.now) for source in new
        )
        for number, each in enumerate(translated, start=1):
            await _add(repositories, each)
            progress(number, len(new))
    return Written(translated, {source.tenant_id: there[source.tenant_id] for source in known})


async def _all_tenants(repositories: Repositories) -> list[Tenant]:
    tenants: list[Tenant] = []
    cursor = None
    while True:
        page = await repositories.tenants.list(Listing(limit=MAX_PAGE_ROWS, cursor=cursor))
        tenants += page.items
        if (cursor := page.next_cursor) is None:
            return tenants


async def _check_same(
    repositories: Repositories, sources: Iterable[V1Tenant], there: Mapping[TenantId, Tenant]
) -> None:
    """Raises MigrationRefused when a tenant of the catalog is not what its manifest says."""
    conflicts = []
    for source in sources:
        tenant = there[source.tenant_id]
        administrator = await _administrator(repositories, tenant)
        if differing := ", ".join(differences(source, tenant, administrator)):
            conflicts.append(
                BadManifest(
                    source.file,
                    f"the catalog has tenant {tenant.slug} ({tenant.tenant_id}) already, "
                    f"with other values of: {differing}",
                )
            )
    if conflicts:
        raise MigrationRefused(conflicts)


async def _administrator(repositories: Repositories, tenant: Tenant) -> User | None:
    email = administrator_email(tenant.slug)
    try:
        return await repositories.users.get_by_email(tenant.tenant_id, email)
    except NotFound:
        return None


async def _add(repositories: Repositories, each: Translated) -> None:
    try:
        await repositories.tenants.add(each.tenant)
        await repositories.users.add(each.user)
        await repositories.databases.add(each.database)
    except (AlreadyExists, InvalidArgument) as error:
        raise MigrationRefused([BadManifest(each.source.file, error.detail)]) from error
