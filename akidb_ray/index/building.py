"""Building graphs, apart from where it happens: a build takes files and returns a file.

All are built by hnswlib. For faiss, which searches them where they are mapped, the links alone are
kept. A build can run in a thread of this process or elsewhere, on copies of the files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.domain.errors import Corrupt, StorageFailed
from akidb_ray.index.description import FileFacts, GraphDescription, check_facts
from akidb_ray.index.distance import Floats, RowNumbers
from akidb_ray.index.hnswlib_file import read_links
from akidb_ray.index.hnswlib_graph import HnswBuild, scale_for
from akidb_ray.index.links import (
    Links,
    decode_links,
    encode_links,
    with_repeated,
    without_repeated,
)
from akidb_ray.index.vector_scan import VectorScan, scan_vectors
from akidb_ray.storage.os_filesystem import translated

# Rows are added in blocks, so that a build can be stopped. A block of this much work takes each
# thread a quarter of a second, up to a second in a graph that is far larger than the caches.
_BLOCK_WORK = 1_500_000_000
_MIN_BLOCK_ROWS, _MAX_BLOCK_ROWS = 8, 5_000
# Of computing one distance, in dimensions: what does not grow with the vectors.
_DISTANCE_OVERHEAD = 100
# A row that is longer than the scale of its graph by more than this may leave the range of float32.
_MAX_GROWTH = 1e6


class BuildStopped(Exception):
    """A build was stopped, as was asked for, and left no file."""


@dataclass(frozen=True, slots=True)
class BaseGraph:
    """A saved graph to start from: `graph_files.base_graph` makes one.

    `path` is a path of the operating system. Its content is compared with `facts` when it is used.
    """

    path: str
    facts: FileFacts
    description: GraphDescription


@dataclass(frozen=True, slots=True)
class GraphJob:
    """What to build a graph over, and how.

    `vectors_path` is a path of the operating system to float32 (rows, dimension), of unit length
    under cosine; the file is mapped. There is at least one row. The rows of `base` are the first
    rows of these vectors, unchanged and in their order; it was built in the same way.
    """

    metric: Metric
    dimension: int
    rows: int
    vectors_path: str
    m: int
    ef_construction: int
    threads: int
    engine: HnswEngine
    base: BaseGraph | None = None


@dataclass(frozen=True, slots=True)
class BuiltGraph:
    """What a builder knows of the file that it made. `scale` is explained at `HnswBuild`, `even`
    at `GraphDescription`, `entry` at `Links`.
    """

    scale: float
    even: bool
    entry: int = 0


class GraphBuilder(Protocol):
    """Runs one build per call; calls may come from many threads."""

    def build(
        self,
        job: GraphJob,
        target: str,
        stopped: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> BuiltGraph:
        """Write the file of the graph at `target`, a path of the operating system.

        `stopped` is asked about every second; `progress` gets the number of rows that are in the
        graph. Whatever is raised, no file is left. Raises BuildStopped, StorageFull, StorageFailed,
        Exhausted (memory), and Corrupt, naming the file, for vectors of another size and for a
        base that is damaged or does not fit: a build without it is the way out.
        """


class ThreadGraphBuilder:
    """Builds in the thread that calls, with `job.threads` threads of the library.

    Built with one thread, the same vectors give the same file. Adding rows releases the GIL;
    loading a base and saving the result hold it.
    """

    def build(
        self,
        job: GraphJob,
        target: str,
        stopped: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> BuiltGraph:
        vectors = _vectors(job)
        scan = scan_vectors(vectors, lambda: _stop_if(stopped))
        repeated = scan.repeated
        rows = _rows_to_index(job, repeated)
        build = _begin(job, vectors, scan, rows, target)
        done = np.append(rows, job.rows)
        progress(int(done[build.rows]))
        block_rows = job.threads * _block_rows_per_thread(job)
        for start in range(build.rows, len(rows), block_rows):
            _stop_if(stopped)
            block = rows[start : start + block_rows]
            build.add(vectors[block], repeated[block], job.threads)
            progress(int(done[build.rows]))
        _stop_if(stopped)
        if job.engine is HnswEngine.HNSWLIB:
            build.save(target)
            return BuiltGraph(build.scale, scan.even)
        return BuiltGraph(build.scale, scan.even, _save_links(build, scan, target))


def _stop_if(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise BuildStopped


def _block_rows_per_thread(job: GraphJob) -> int:
    work_per_row = job.ef_construction * job.m * (job.dimension + _DISTANCE_OVERHEAD)
    return min(max(_BLOCK_WORK // work_per_row, _MIN_BLOCK_ROWS), _MAX_BLOCK_ROWS)


def _rows_to_index(job: GraphJob, repeated: NDArray[np.bool_]) -> RowNumbers:
    if job.engine is HnswEngine.FAISS:
        return np.flatnonzero(~repeated)
    return np.arange(job.rows)


def _save_links(build: HnswBuild, scan: VectorScan, target: str) -> int:
    """Write the links to `target`, by way of hnswlib's own file; return the row to start from."""
    scratch = f"{target}.hnswlib"
    with translated(Path(target)):
        try:
            build.save(scratch)
            links = with_repeated(read_links(scratch), scan.firsts)
        finally:
            Path(scratch).unlink(missing_ok=True)
        try:
            with Path(target).open("wb") as file:
                file.writelines(encode_links(links))
        except OSError:
            Path(target).unlink(missing_ok=True)
            raise
    return links.entry


def _begin(
    job: GraphJob, vectors: Floats, scan: VectorScan, rows: RowNumbers, target: str
) -> HnswBuild:
    """The base, ready for more of `rows`, or an empty graph."""
    if job.base is not None:
        made = job.base.description
        _check_fits(job, job.base)
        growth = scale_for(job.metric, scan.lengths[made.rows :]) / made.scale
        # Graphs of the other engine have or lack the repeated rows, which these must lack or have.
        same_rows = made.engine is job.engine or not scan.repeated[: made.rows].any()
        if growth <= _MAX_GROWTH and same_rows:
            return _resume(job, job.base, vectors, rows, target)
    scale = scale_for(job.metric, scan.lengths)
    return HnswBuild.start(job.metric, job.dimension, len(rows), job.m, job.ef_construction, scale)


def _resume(
    job: GraphJob, base: BaseGraph, vectors: Floats, rows: RowNumbers, target: str
) -> HnswBuild:
    # hnswlib believes what it reads, and a damaged file may end the process.
    content = _mapped(base.path, base.facts.size_bytes).data
    check_facts(base.path, content, base.facts)
    made = base.description
    if made.engine == HnswEngine.HNSWLIB:
        build = HnswBuild.resume(job.metric, job.dimension, base.path, len(rows), made.scale)
    else:
        build = HnswBuild.resume_links(
            job.metric,
            without_repeated(_links(base, content)),
            lambda part: vectors[rows[part]],
            job.dimension,
            len(rows),
            job.ef_construction,
            made.scale,
            scratch=f"{target}.base",
        )
    expected = int(np.searchsorted(rows, made.rows))
    if build.rows != expected:
        raise Corrupt(base.path, f"holds {build.rows} rows instead of {expected}")
    return build


def _links(base: BaseGraph, content: memoryview) -> Links:
    made = base.description
    try:
        return decode_links(content, made.rows, made.m, made.entry)
    except ValueError as error:
        raise Corrupt(base.path, str(error)) from error


def _check_fits(job: GraphJob, base: BaseGraph) -> None:
    made = base.description
    same = (made.metric, made.dimension, made.m, made.ef_construction) == (
        job.metric,
        job.dimension,
        job.m,
        job.ef_construction,
    )
    if not same or made.rows > job.rows:
        raise Corrupt(base.path, "is a graph of other vectors, or was built in another way")


def _vectors(job: GraphJob) -> Floats:
    content = _mapped(job.vectors_path, 4 * job.rows * job.dimension)
    return content.view(np.float32).reshape(job.rows, job.dimension)


def _mapped(path: str, size_bytes: int) -> NDArray[np.uint8]:
    """The bytes of a file. Raises Corrupt unless there are `size_bytes` of them, StorageFailed."""
    try:
        held_bytes = Path(path).stat().st_size
        if held_bytes == size_bytes:
            return np.memmap(path, np.uint8, "r").view(np.ndarray)
    except FileNotFoundError:
        raise Corrupt(path, "is missing") from None
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}", file=path) from error
    raise Corrupt(path, f"holds {held_bytes} bytes instead of {size_bytes}")
