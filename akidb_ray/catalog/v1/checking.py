"""What a migrated file is held to before it takes the place of the old one.

Asked of the file itself, by SQL of its own, and not of those who wrote it.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from uuid import UUID

from akidb_ray.catalog.sqlite.copying import check_database, reading
from akidb_ray.catalog.v1.translation import DATABASE_DESCRIPTION, Translated
from akidb_ray.domain.errors import Internal
from akidb_ray.domain.ids import TenantId

_DEFAULT_DATABASES = """
SELECT tenant_id FROM databases
WHERE name = 'default' AND state = 'ready' AND description = ?
"""


def tenant_ids(file: Path) -> frozenset[TenantId]:
    """Of all tenants in a catalog file. Raises NotFound, Corrupt, StorageFailed, Unavailable."""
    with reading(file) as connection:
        rows = connection.execute("SELECT tenant_id FROM tenants").fetchall()
    return frozenset(TenantId(UUID(bytes=tenant_id)) for (tenant_id,) in rows)


def check_migrated(file: Path, before: Collection[TenantId], written: Sequence[Translated]) -> None:
    """Raise Internal when the file is not what it was before, and the written tenants.

    Counted are tenants, ids, slugs, default databases and administrators; checked are foreign keys
    and the soundness of the file's pages.
    """
    new = {each.tenant.tenant_id.bytes for each in written}
    problems = check_database(file)
    with reading(file) as connection:
        rows = connection.execute("SELECT tenant_id, slug FROM tenants").fetchall()
        ready = connection.execute(_DEFAULT_DATABASES, (DATABASE_DESCRIPTION,)).fetchall()
        users = connection.execute("SELECT tenant_id, email FROM users").fetchall()
    if len(rows) != len(before) + len(written):
        problems.append(f"{len(rows)} tenants instead of {len(before) + len(written)}")
    if {tenant_id for tenant_id, _ in rows} != new.union(each.bytes for each in before):
        problems.append("other tenant ids than those that were given")
    if len({slug for _, slug in rows}) != len(rows):
        problems.append("a slug twice")
    if sorted(tenant_id for (tenant_id,) in ready if tenant_id in new) != sorted(new):
        problems.append("a tenant without its database")
    if not set(users).issuperset((e.tenant.tenant_id.bytes, e.user.email) for e in written):
        problems.append("a tenant without its administrator")
    if problems:
        raise Internal(f"the migrated catalog is not as it must be: {'; '.join(problems)}")
