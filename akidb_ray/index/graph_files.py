"""The folder of a graph. It never changes once it is written.

    index.json   what the graph is of, and size and checksum of the file below
    graph.links  the links alone (links.py), for a graph that faiss searches; or
    graph.hnsw   the graph with its vectors, in the form of hnswlib

Until a manifest names the folder it does not count, so a crash here leaves only rubbish. A damaged
graph loses nothing: it is built again from the vectors of its segment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from akidb_ray.domain.collection import HnswEngine
from akidb_ray.domain.errors import AkiDBError, Corrupt, NotFound
from akidb_ray.index.building import BaseGraph, BuiltGraph, GraphBuilder, GraphJob
from akidb_ray.index.description import (
    FORMAT,
    FileFacts,
    GraphDescription,
    check_facts,
    decode_description,
    encode_description,
    facts_of,
)
from akidb_ray.index.distance import Floats
from akidb_ray.index.faiss_graph import FaissGraph
from akidb_ray.index.hnswlib_graph import HnswlibGraph
from akidb_ray.index.links import decode_links
from akidb_ray.index.vector_index import VectorIndex
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import Bytes, FileSystem

DESCRIPTION = "index.json"
GRAPHS = {HnswEngine.FAISS: "graph.links", HnswEngine.HNSWLIB: "graph.hnsw"}


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

    name = GRAPHS[job.engine]
    fs.import_file(folder / name, produce)
    description = GraphDescription(
        format=FORMAT,
        engine=job.engine,
        metric=job.metric,
        dimension=job.dimension,
        rows=job.rows,
        m=job.m,
        ef_construction=job.ef_construction,
        scale=built[0].scale,
        files={name: facts_of(fs.map(folder / name))},
        entry=built[0].entry,
        even=built[0].even,
    )
    raw = encode_description(description)
    fs.write(folder / DESCRIPTION, [raw])
    fs.sync_directory(folder)
    return crc32c(raw)


def load_graph(fs: FileSystem, folder: PurePath, checksum: int, vectors: Floats) -> VectorIndex:
    """Load the graph whose `index.json` has this CRC-32C. Every byte is verified first.

    `vectors`, float32 (n, d), are those that it is of. Raises Corrupt, naming the file,
    InvalidState for a graph of a later version, and Exhausted (memory).
    """
    description = _read_description(fs, folder, checksum)
    path, facts = _graph_file(description, folder)
    content = _checked(fs, path, facts)
    rows = description.rows
    if vectors.shape != (rows, description.dimension):
        shape = f"{vectors.shape[0]} x {vectors.shape[1]}"
        of = f"{rows} x {description.dimension}"
        raise Corrupt(str(folder / DESCRIPTION), f"is of {of} vectors instead of {shape}")
    if description.engine is HnswEngine.FAISS:
        try:
            links = decode_links(content, rows, description.m, description.entry)
        except ValueError as error:
            raise Corrupt(str(path), str(error)) from error
        return FaissGraph(description.metric, vectors, links, description.even)
    graph = HnswlibGraph.load(
        description.metric, description.dimension, fs.library_path(path), description.even
    )
    if graph.rows != rows:
        raise Corrupt(str(path), f"holds {graph.rows} rows instead of {rows}")
    return graph


def memory_to_load(fs: FileSystem, folder: PurePath) -> int:
    """About how many bytes of memory the graph in `folder` takes: links are mapped, hnswlib's own
    file is copied.
    """
    path = folder / GRAPHS[HnswEngine.HNSWLIB]
    return fs.size_bytes(path) if fs.exists(path) else 0


def base_graph(fs: FileSystem, folder: PurePath, checksum: int) -> BaseGraph:
    """The graph in `folder`, to build another from.

    Its `index.json` is verified here, its file by the builder. Raises Corrupt, InvalidState.
    """
    description = _read_description(fs, folder, checksum)
    path, facts = _graph_file(description, folder)
    if not fs.exists(path):
        raise Corrupt(str(path), "is missing")
    return BaseGraph(fs.library_path(path), facts, description)


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
            _checked(fs, folder / name, facts)
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


def _graph_file(description: GraphDescription, folder: PurePath) -> tuple[PurePath, FileFacts]:
    name = GRAPHS[description.engine]
    if name not in description.files:
        raise Corrupt(str(folder / DESCRIPTION), f"does not name {name}")
    return folder / name, description.files[name]


def _checked(fs: FileSystem, path: PurePath, facts: FileFacts) -> Bytes:
    try:
        data = fs.map(path)
    except NotFound:
        raise Corrupt(str(path), "is missing") from None
    check_facts(str(path), data, facts)
    return data
