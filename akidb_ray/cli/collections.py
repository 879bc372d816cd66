"""`akidb collection create|get|list|update|delete`"""

from typing import Annotated

import typer

from akidb_ray.cli.list_options import DEFAULT_LIMIT, All, By, Descending, Limit, Search
from akidb_ray.cli.session import Session, connected
from akidb_ray.domain.collection import (
    CollectionState,
    HnswEngine,
    IndexKind,
    Language,
    Metric,
    SyncPolicy,
    TieringPolicy,
)

app = typer.Typer(help="Collections of a database.", no_args_is_help=True)


@app.command("create")
@connected("tenant", "database")
def create_collection(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name, unique in the database.")],
    dimension: Annotated[
        int | None, typer.Option(help="Width of its vectors; the model's, when there is one.")
    ] = None,
    metric: Annotated[Metric | None, typer.Option(help="How vectors are compared.")] = None,
    shard_count: Annotated[int | None, typer.Option(help="Parts that it is split into.")] = None,
    embedding_model: Annotated[
        str | None, typer.Option(help="Model for its texts, such as all-MiniLM-L6-v2.")
    ] = None,
    index_kind: Annotated[IndexKind | None, typer.Option(help="Kind of index.")] = None,
    hnsw_m: Annotated[int | None, typer.Option(help="Edges per node of the graph.")] = None,
    hnsw_ef_construction: Annotated[
        int | None, typer.Option(help="Breadth of the search that builds the graph.")
    ] = None,
    hnsw_engine: Annotated[
        HnswEngine | None, typer.Option(help="Library that builds and searches the graph.")
    ] = None,
    language: Annotated[
        Language | None, typer.Option(help="Whose stems the words of texts are reduced to.")
    ] = None,
    replica_factor: Annotated[int | None, typer.Option(help="Copies of each shard.")] = None,
    tiering_policy: Annotated[
        TieringPolicy | None, typer.Option(help="Where its data lies.")
    ] = None,
    sync_policy: Annotated[
        SyncPolicy | None, typer.Option(help="When the object store is brought up to date.")
    ] = None,
    wal_retention_seconds: Annotated[
        int | None, typer.Option(help="How long the log is kept.")
    ] = None,
    max_doc_count: Annotated[int | None, typer.Option(help="Limit of documents.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Create a collection. An option that is left out has the server's default."""
    from akidb_ray.cli.listing import create

    given = {
        "name": name,
        "dimension": dimension,
        "metric": metric,
        "shard_count": shard_count,
        "embedding_model": embedding_model,
        "index_kind": index_kind,
        "hnsw_m": hnsw_m,
        "hnsw_ef_construction": hnsw_ef_construction,
        "hnsw_engine": hnsw_engine,
        "language": language,
        "replica_factor": replica_factor,
        "tiering_policy": tiering_policy,
        "sync_policy": sync_policy,
        "wal_retention_seconds": wal_retention_seconds,
        "max_doc_count": max_doc_count,
        "description": description,
    }
    create(session, _collections_path(session), given)


@app.command("get")
@connected("tenant", "database")
def get_collection(
    session: Session, collection: Annotated[str, typer.Argument(help="Name or id.")]
) -> None:
    """Show a collection with all its settings, and how its shards stand."""
    from akidb_ray.cli.listing import show

    show(session, session.client.get(_path(session, collection)))


@app.command("list")
@connected("tenant", "database")
def list_collections(
    session: Session,
    search: Search = None,
    state: Annotated[CollectionState | None, typer.Option(help="Only those in it.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    all_of_them: All = False,
    order: By = None,
    descending: Descending = False,
) -> None:
    """List the collections of a database."""
    from akidb_ray.cli.listing import show_list

    columns = ["name", "dimension", "metric", "shard_count", "embedding_model", "state"]
    query = {"q": search, "state": state, "order": order, "descending": descending or None}
    path = _collections_path(session)
    show_list(session, path, "collections", columns, query, None if all_of_them else limit)


@app.command("update")
@connected("tenant", "database")
def update_collection(
    session: Session,
    collection: Annotated[str, typer.Argument(help="Name or id.")],
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    if_version: Annotated[
        int | None, typer.Option(help="Refuse unless it is at this version.")
    ] = None,
) -> None:
    """Change a collection's name or description. Its other settings are fixed."""
    from akidb_ray.cli.listing import update

    given = {"name": name, "description": description}
    update(session, _path(session, collection), given, if_version)


@app.command("delete")
@connected("tenant", "database")
def delete_collection(
    session: Session,
    collection: Annotated[str, typer.Argument(help="Name or id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job, not its end.")] = False,
) -> None:
    """Delete a collection with all its documents."""
    from akidb_ray.cli.listing import confirm, remove

    confirm(session, f"Delete collection {collection!r} and everything in it?", yes)
    done = f"Deleted collection {collection!r}."
    remove(session, "DELETE", _path(session, collection), done, no_wait)


def _collections_path(session: Session) -> str:
    from akidb_ray.cli.client import path_of

    at = session.connection
    return path_of("tenants", at.tenant, "databases", at.database, "collections")


def _path(session: Session, collection: str) -> str:
    from akidb_ray.cli.client import path_of

    at = session.connection
    return path_of("tenants", at.tenant, "databases", at.database, "collections", collection)
