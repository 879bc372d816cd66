"""`akidb status`"""

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
    counts = {name: value for name, value in health.items() if name != "stores"}
    print_fields({"url": session.connection.url, **counts, "stores": len(stores)})
    if stores:
        print_line("")
        names = list(stores[0])
        print_table(names, [[store.get(name) for name in names] for store in stores])
