"""The folder of a graph. It never changes once it is written.

    index.json  what the graph is of, and size and checksum of the file below
    graph.hnsw  the graph with its vectors, in the form of its library

Until a manifest names the folder it does not count, so a crash here leaves only rubbish. A damaged
graph loses nothing: it is built again from the vectors of its segment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from akidb_ray.domain.errors import AkiDBError, Corrupt, NotFound
from akidb_ray.index.building import BaseGraph, BuiltGraph, GraphBuilder, GraphJob
from akidb_ray.index.description import (
    ENGINE,
    FORMAT,
    FileFacts,
    GraphDescription,
    check_facts,
    decode_description,
    encode_description,
    facts_of,
)
from akidb_ray.index.hnsw import HnswGraph
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem

DESCRIPTION = "index.json"
GRAPH = "graph.hnsw"


def write_graph(
    fs: FileSystem,
    folder: PurePath,
    job: GraphJob,
    builder: GraphBuilder,
    stopped: Callable[[], bool],
    progress: Callable[[int], None] = lambda rows: None,
) -> int:
    """Build a graph into a new `folder`, durably; return the CRC-32C of its `index.json`.

    Raises what `GraphBuilder.build` raises. Then the caller removes the folder.
    """
    fs.create_directory(folder)
    built: list[BuiltGraph] = []

    def produce(scratch: str) -> None:
        built.append(builder.build(job, scratch, stopped, progress))

    fs.import_file(folder / GRAPH, produce)
    description = GraphDescription(
        format=FORMAT,
        engine=ENGINE,
        metric=job.metric,
        dimension=job.dimension,
        rows=job.rows,
        m=job.m,
        ef_construction=job.ef_construction,
        scale=built[0].scale,
        files={GRAPH: facts_of(fs.map(folder / GRAPH))},
    )
    raw = encode_description(description)
    fs.write(folder / DESCRIPTION, [raw])
    fs.sync_directory(folder)
    return crc32c(raw)


def load_graph(fs: FileSystem, folder: PurePath, checksum: int) -> HnswGraph:
    """Load the graph whose `index.json` has this CRC-32C. Every byte is verified first.

    Raises Corrupt, naming the file, InvalidState for a graph of a later version, and Exhausted
    (memory).
    """
    description = _read_description(fs, folder, checksum)
    path = folder / GRAPH
    _check_file(fs, path, _graph_facts(description, folder))
    graph = HnswGraph.load(description.metric, description.dimension, fs.library_path(path))
    if graph.rows != description.rows:
        raise Corrupt(str(path), f"holds {graph.rows} rows instead of {description.rows}")
    return graph


def base_graph(fs: FileSystem, folder: PurePath, checksum: int) -> BaseGraph:
    """The graph in `folder`, to build another from.

    Its `index.json` is verified here, its file by the builder. Raises Corrupt, InvalidState.
    """
    description = _read_description(fs, folder, checksum)
    path = folder / GRAPH
    if not fs.exists(path):
        raise Corrupt(str(path), "is missing")
    return BaseGraph(fs.library_path(path), _graph_facts(description, folder), description)


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """What an inspector finds about one file; `reason` says what is wrong with it."""

    name: str
    size_bytes: int
    ok: bool
    reason: str = ""


def check_graph(fs: FileSystem, folder: PurePath, checksum: int) -> list[GraphCheck]:
    """Compare the files of a graph with their checksums; damage is a finding, not an error.

    Files that only a damaged `index.json` would name are not looked at.
    """
    try:
        files = _read_description(fs, folder, checksum).files
    except AkiDBError as error:
        return [_finding(fs, folder / DESCRIPTION, error)]
    checks = [_finding(fs, folder / DESCRIPTION, None)]
    for name, facts in files.items():
        try:
            _check_file(fs, folder / name, facts)
        except AkiDBError as error:
            checks.append(_finding(fs, folder / name, error))
        else:
            checks.append(_finding(fs, folder / name, None))
    return checks


def _finding(fs: FileSystem, path: PurePath, error: AkiDBError | None) -> GraphCheck:
    size_bytes = fs.size_bytes(path) if fs.exists(path) else 0
    reason = "" if error is None else error.fields.get("reason", error.detail)
    return GraphCheck(path.name, size_bytes, error is None, reason)


def _read_description(fs: FileSystem, folder: PurePath, checksum: int) -> GraphDescription:
    path = folder / DESCRIPTION
    try:
        raw = fs.read(path)
    except NotFound:
        raise Corrupt(str(path), "is missing") from None
    return decode_description(raw, str(path), checksum)


def _graph_facts(description: GraphDescription, folder: PurePath) -> FileFacts:
    if GRAPH not in description.files:
        raise Corrupt(str(folder / DESCRIPTION), f"does not name {GRAPH}")
    return description.files[GRAPH]


def _check_file(fs: FileSystem, path: PurePath, facts: FileFacts) -> None:
    try:
        data = fs.map(path)
    except NotFound:
        raise Corrupt(str(path), "is missing") from None
    check_facts(str(path), data, facts)
