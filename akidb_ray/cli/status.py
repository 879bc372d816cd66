"""`akidb status`"""

from collections.abc import Mapping
from typing import Any

from akidb_ray.cli.output import print_fields, print_json, print_line, print_table
from akidb_ray.cli.session import Session, connected


@connected()
def status(session: Session) -> None:
    """Say whether the server is ready, and what it holds. The exit code is 1 when it is not."""
    # A server that is not ready answers 503, which is an error like any other.
    session.client.get("/readyz")
    health = session.client.get("/v2/cluster/health")
    if session.as_json:
        print_json({"url": session.connection.url, **health})
        return
    stores = health.get("stores", [])
    fields = {"url": session.connection.url, **health, "stores": len(stores)}
    catalog = fields.pop("catalog", None)
    print_fields(fields | (_catalog_fields(catalog) if catalog else {}))
    if stores:
        print_line("")
        names = list(stores[0])
        print_table(names, [[store.get(name) for name in names] for store in stores])


def _catalog_fields(catalog: Mapping[str, Any]) -> dict[str, Any]:
    if not catalog["alive"]:
        return {"catalog": f"can't be asked: {catalog['error']}"}
    backup = catalog["backup"]
    newest = "none yet"
    if backup["version"] is not None:
        newest = f"version {backup['version']} of {backup['at']} in {backup['where']}"
    fields = {
        "catalog": f"version {catalog['version']} in term {catalog['epoch']}",
        "backup": f"{newest}, changed since" if backup["behind"] else newest,
    }
    return fields if backup["error"] is None else fields | {"backup error": backup["error"]}
