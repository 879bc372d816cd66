"""`akidb tenant create|list|delete`"""

from typing import Annotated

import typer

from akidb_ray.cli.output import parse_json_option
from akidb_ray.cli.session import Session, connected

app = typer.Typer(help="Tenants: who is kept apart from whom.", no_args_is_help=True)


@app.command("create")
@connected()
def create_tenant(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name for people.")],
    slug: Annotated[str | None, typer.Option(help="Name in paths; else made of the name.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Its id in another system.")] = None,
    metadata: Annotated[str | None, typer.Option(help="JSON object.")] = None,
    memory_quota_bytes: Annotated[int | None, typer.Option(help="Limit of memory.")] = None,
    storage_quota_bytes: Annotated[int | None, typer.Option(help="Limit on disk.")] = None,
    qps_quota: Annotated[int | None, typer.Option(help="Limit of requests per second.")] = None,
) -> None:
    """Create a tenant."""
    from akidb_ray.cli.listing import create

    quotas = {
        "memory_quota_bytes": memory_quota_bytes,
        "storage_quota_bytes": storage_quota_bytes,
        "qps_quota": qps_quota,
    }
    given = {
        "name": name,
        "slug": slug,
        "external_id": external_id,
        "metadata": None if metadata is None else parse_json_option(metadata, "--metadata"),
        "quotas": {quota: limit for quota, limit in quotas.items() if limit is not None} or None,
    }
    create(session, "/v2/tenants", given)


@app.command("list")
@connected()
def list_tenants(session: Session) -> None:
    """List all tenants."""
    from akidb_ray.cli.listing import show_list

    show_list(session, "/v2/tenants", "tenants", ["slug", "name", "status", "tenant_id"])


@app.command("delete")
@connected()
def delete_tenant(
    session: Session,
    tenant: Annotated[str, typer.Argument(help="Slug or id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Decommission a tenant."""
    from akidb_ray.cli.client import path_of
    from akidb_ray.cli.listing import delete

    delete(session, path_of("tenants", tenant), f"tenant {tenant!r}", yes, "Decommissioned")
