"""`akidb tenant create|get|list|update|suspend|resume|decommission|purge`"""

from typing import Annotated, Any

import typer

from akidb_ray.cli.list_options import DEFAULT_LIMIT, All, By, Descending, Limit, Search
from akidb_ray.cli.misuse import Misuse
from akidb_ray.cli.output import parse_json_option
from akidb_ray.cli.session import Session, connected
from akidb_ray.domain.tenancy import OPTIONAL_QUOTAS, TenantStatus

app = typer.Typer(help="Tenants: who is kept apart from whom.", no_args_is_help=True)

Ref = Annotated[str, typer.Argument(metavar="TENANT", help="Slug or id.")]
Slug = Annotated[str | None, typer.Option(help="Name in paths; else made of the name.")]
ExternalId = Annotated[str | None, typer.Option(help="Its id in another system.")]
Metadata = Annotated[str | None, typer.Option(help="JSON object.")]
MemoryQuota = Annotated[int | None, typer.Option(help="Limit of memory; not enforced yet.")]
StorageQuota = Annotated[int | None, typer.Option(help="Limit on disk; not enforced yet.")]
QpsQuota = Annotated[int | None, typer.Option(help="Requests per second; not enforced yet.")]
MaxCollections = Annotated[
    str | None, typer.Option(metavar="NUMBER", help='Limit of collections, or "none".')
]
MaxVectors = Annotated[
    str | None,
    typer.Option(metavar="NUMBER", help='Limit of documents of new collections, or "none".'),
]


@app.command("create")
@connected()
def create_tenant(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name for people.")],
    slug: Slug = None,
    external_id: ExternalId = None,
    metadata: Metadata = None,
    memory_quota_bytes: MemoryQuota = None,
    storage_quota_bytes: StorageQuota = None,
    qps_quota: QpsQuota = None,
    max_collections: MaxCollections = None,
    max_vectors_per_collection: MaxVectors = None,
) -> None:
    """Create a tenant."""
    from akidb_ray.cli.listing import create

    quotas = _quotas(
        memory_quota_bytes=memory_quota_bytes,
        storage_quota_bytes=storage_quota_bytes,
        qps_quota=qps_quota,
        max_collections=max_collections,
        max_vectors_per_collection=max_vectors_per_collection,
    )
    given = {
        "name": name,
        "slug": slug,
        "external_id": external_id,
        "metadata": _metadata(metadata),
        "quotas": quotas,
    }
    create(session, "/v2/tenants", given)


@app.command("get")
@connected()
def get_tenant(session: Session, tenant: Ref) -> None:
    """Show a tenant."""
    from akidb_ray.cli.listing import show

    show(session, session.client.get(_path(tenant)))


@app.command("list")
@connected()
def list_tenants(
    session: Session,
    search: Search = None,
    status: Annotated[TenantStatus | None, typer.Option(help="Only those with it.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    all_of_them: All = False,
    order: By = None,
    descending: Descending = False,
) -> None:
    """List tenants."""
    from akidb_ray.cli.listing import show_list

    columns = ["slug", "name", "status", "tenant_id"]
    query = {"q": search, "status": status, "order": order, "descending": descending or None}
    limit_or_none = None if all_of_them else limit
    show_list(session, "/v2/tenants", "tenants", columns, query, limit_or_none)


@app.command("update")
@connected()
def update_tenant(
    session: Session,
    tenant: Ref,
    name: Annotated[str | None, typer.Option(help="Its new name for people.")] = None,
    slug: Annotated[str | None, typer.Option(help="Its new name in paths.")] = None,
    external_id: ExternalId = None,
    metadata: Metadata = None,
    max_collections: MaxCollections = None,
    max_vectors_per_collection: MaxVectors = None,
    if_version: Annotated[
        int | None, typer.Option(help="Refuse unless it is at this version.")
    ] = None,
) -> None:
    """Change a tenant."""
    from akidb_ray.cli.listing import update

    given = {
        "name": name,
        "slug": slug,
        "external_id": external_id,
        "metadata": _metadata(metadata),
        "quotas": _quotas(
            max_collections=max_collections,
            max_vectors_per_collection=max_vectors_per_collection,
        ),
    }
    update(session, _path(tenant), given, if_version)


@app.command("suspend")
@connected()
def suspend_tenant(session: Session, tenant: Ref) -> None:
    """Suspend a tenant: it reads and writes nothing until it is resumed."""
    from akidb_ray.cli.listing import show

    show(session, session.client.request("POST", f"{_path(tenant)}/suspend"))


@app.command("resume")
@connected()
def resume_tenant(session: Session, tenant: Ref) -> None:
    """Let a suspended tenant go on."""
    from akidb_ray.cli.listing import show

    show(session, session.client.request("POST", f"{_path(tenant)}/resume"))


@app.command("decommission")
@app.command("delete", hidden=True)
@connected()
def decommission_tenant(
    session: Session,
    tenant: Ref,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a tenant out of service for good. Its data stays until it is purged."""
    from akidb_ray.cli.listing import confirm, show
    from akidb_ray.cli.output import print_line

    confirm(session, f"Decommission tenant {tenant!r}? It can't be resumed.", yes)
    gone = session.client.delete(_path(tenant))
    if session.as_json:
        show(session, gone)
    else:
        print_line(f"Decommissioned tenant {tenant!r}.")


@app.command("purge")
@connected()
def purge_tenant(
    session: Session,
    tenant: Ref,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job, not its end.")] = False,
) -> None:
    """Remove a decommissioned tenant with all its data."""
    from akidb_ray.cli.listing import confirm, remove

    confirm(session, f"Purge tenant {tenant!r} with all its data?", yes)
    remove(session, "POST", f"{_path(tenant)}/purge", f"Purged tenant {tenant!r}.", no_wait)


def _path(tenant: str) -> str:
    from akidb_ray.cli.client import path_of

    return path_of("tenants", tenant)


def _metadata(text: str | None) -> Any:
    return None if text is None else parse_json_option(text, "--metadata")


def _quotas(**given: int | str | None) -> dict[str, int | None] | None:
    """Those that were given, with None for no limit; None when there are none."""
    quotas = {name: _limit(name, value) for name, value in given.items() if value is not None}
    return quotas or None


def _limit(name: str, value: int | str) -> int | None:
    """Raises Misuse for what is neither a whole number nor, where there may be no limit, "none"."""
    if value == "none" and name in OPTIONAL_QUOTAS:
        return None
    try:
        return int(value)
    except ValueError:
        option = f"--{name.replace('_', '-')}"
        raise Misuse(option, f'{value!r} is neither a whole number nor "none"') from None
