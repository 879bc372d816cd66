"""What durability costs: rows acknowledged after fsync, reopening after a kill, merging, purging.

    python -m bench.durability [--rows 100000 1000000] [--seconds 3] [--folder DIR] [--data FOLDER]

The disk's own fsync rate stands beside the rows per second, because it is their floor. Reopening is
measured in a process of its own, after the one that wrote was killed. Prints recall@10 with every
search latency, and writes bench/results/durability.json.
"""

import argparse
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import EVERYTHING, Filter, Range, RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import Durability, ShardDelete, ShardUpsert, WriteOptions
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.merging import merge
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.os_filesystem import OsFileSystem
from bench.vectors import Floats, add_data_option, exact_nearest, film_corpus

DIMENSION, BATCH, K = 512, 1000, 10
SHARD = ShardKey(TenantId.new(), CollectionId.new(), 0)
SPEC = CollectionSpec(DIMENSION, Metric.COSINE)
ALL = RowFilter()
PAYLOAD = b'{"n": %d, "genre": "drama", "year": 1999}'


@dataclass(frozen=True)
class Ingest:
    """`acks_per_s` counts writes, `rows_per_s` documents."""

    batch: int
    writers: int
    durability: str
    acks_per_s: float
    rows_per_s: float


@dataclass(frozen=True)
class Reopening:
    """After `rows` were indexed and `tail_rows` written, the process was killed.

    `anonymous_mib` is memory of the process alone; `resident_mib` has mapped files in it that the
    system happens to keep.
    """

    rows: int
    tail_rows: int
    index_s: float
    open_s: float
    resident_mib: float
    anonymous_mib: float
    search_p50_ms: float
    recall: float
    delete_s: float
    merge_s: float
    recall_merged: float


def wide_films(data: Path, rows: int, queries: int) -> tuple[Floats, Floats]:
    """The film vectors and queries, turned into 512 dimensions by a seeded projection."""
    corpus = film_corpus(data, rows, queries)
    random = np.random.default_rng(11)
    turn = random.normal(size=(corpus.base.shape[1], DIMENSION)).astype(np.float32)
    wide = [vectors @ turn for vectors in (corpus.base, corpus.queries)]
    base, asked = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in wide)
    return base, asked


def documents(vectors: Floats, start: int) -> DocumentBatch:
    ids = [f"film-{start + number:08}" for number in range(len(vectors))]
    payloads = [PAYLOAD % (start + number) for number in range(len(vectors))]
    return DocumentBatch(ids, vectors, [None] * len(ids), payloads)


def fsync_rate(folder: Path, size_bytes: int, seconds: float) -> float:
    """Appends of so many bytes per second, each synced, by one writer: the floor."""
    block = os.urandom(size_bytes)
    descriptor = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        os.write(descriptor, block)
        os.fsync(descriptor)
        done += 1
    rate = done / (time.perf_counter() - started)
    os.close(descriptor)
    (folder / "floor").unlink()
    return rate


def opened(folder: Path, policy: ShardPolicy) -> Replica:
    fs = OsFileSystem(folder)
    create_replica(fs, SPEC, {"collection": "bench"})
    return open_replica(fs, policy)


def ingest(
    folder: Path, vectors: Floats, batch: int, writers: int, seconds: float, durability: Durability
) -> Ingest:
    """Rows per second of `writers` threads that each send batches, one after the other."""
    replica = opened(folder / f"{durability}-{batch}-{writers}", replace(POLICY, seal_rows=10**9))
    options = WriteOptions(durability=durability)
    acknowledged = [0] * writers
    stop_at = time.perf_counter() + seconds

    def write(writer: int) -> None:
        while time.perf_counter() < stop_at:
            start = (writer * 7919 + acknowledged[writer] * batch) % (len(vectors) - batch)
            first = (writer * 10_000_000) + acknowledged[writer] * batch
            sent = documents(vectors[start : start + batch], first)
            replica.write(ShardUpsert(SHARD, sent, ALL, options=options))
            acknowledged[writer] += 1

    took_s = timed(lambda: run_threads(write, writers))
    replica.close()
    rate = sum(acknowledged) / took_s
    return Ingest(batch, writers, str(durability), rate, rate * batch)


def run_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def burst(folder: Path, vectors: Floats) -> float:
    """Rows per second of one writer with batches of 1,000, sealing behind it."""
    replica = opened(folder / "burst", POLICY)
    sealing = threading.Event()

    def seal() -> None:
        while not sealing.is_set():
            if not flush(replica):
                sealing.wait(0.05)

    thread = threading.Thread(target=seal)
    thread.start()
    took_s = timed(lambda: write_all(replica, vectors, 0))
    sealing.set()
    thread.join()
    replica.close()
    return len(vectors) / took_s


def write_all(replica: Replica, vectors: Floats, first: int) -> None:
    for start in range(0, len(vectors), BATCH):
        sent = documents(vectors[start : start + BATCH], first + start)
        replica.write(ShardUpsert(SHARD, sent, ALL))


POLICY = ShardPolicy(
    build_threads=os.cpu_count() or 1, unindexed_slow_rows=10**9, unindexed_max_rows=10**9
)


def fill(folder: Path, vectors: Floats, tail: Floats, ready: Any) -> None:
    """Write, index, write some more, and wait to be killed."""
    replica = opened(folder, POLICY)

    def index() -> None:
        write_all(replica, vectors, 0)
        replica.freeze()
        while maintain(replica):
            pass

    index_s = timed(index)
    write_all(replica, tail, len(vectors))
    ready.send(index_s)
    signal.pause()


def reopen(folder: Path, asked: Floats, nearest: Any, answers: Any) -> None:
    """Open what a killed process left, search it, delete a third of it, and merge."""
    started = time.perf_counter()
    replica = open_replica(OsFileSystem(folder), POLICY)
    open_s = time.perf_counter() - started
    memory = psutil.Process().memory_info()
    anonymous = memory.rss - memory.shared
    p50_ms, recall = search(replica, asked, nearest)
    gone = Filter((Range("n", lt=replica.view().documents // 5 * 2),))
    delete_s = timed(lambda: replica.write(ShardDelete(SHARD, ALL, filter=gone)))
    replica.freeze()
    merge_s = timed(lambda: settle(replica))
    exact = exact_answers(replica, asked)
    _, merged = search(replica, asked, exact)
    answers.send(
        [open_s, memory.rss / 2**20, anonymous / 2**20, p50_ms, recall, delete_s, merge_s, merged]
    )
    replica.close()


def settle(replica: Replica) -> None:
    """All maintenance, and at last one segment of all."""
    while maintain(replica):
        pass
    if len(replica.live.sealed) > 1:
        largest = max(replica.live.sealed, key=lambda live: live.view().live_count)
        merge(replica, replica.live.sealed, largest if largest.graph else None)


def exact_answers(replica: Replica, asked: Floats) -> list[list[str]]:
    view = replica.view()
    return [[h.id for h in view.search(VectorQuery(v, K, exact=True), ALL)] for v in asked]


def search(replica: Replica, asked: Floats, nearest: list[list[str]]) -> tuple[float, float]:
    """Median latency in ms and recall@10 at ef 200."""
    took_ms, shares = [], []
    for vector, wanted in zip(asked, nearest, strict=True):
        started = time.perf_counter()
        hits = replica.view().search(VectorQuery(vector, K, EVERYTHING, ef=200), ALL)
        took_ms.append((time.perf_counter() - started) * 1000)
        shares.append(len({hit.id for hit in hits} & set(wanted)) / K)
    return float(np.median(took_ms)), float(np.mean(shares))


def reopening(folder: Path, data: Path, rows: int) -> Reopening:
    tail_rows = min(rows // 10, 40_000)
    vectors, asked = wide_films(data, rows + tail_rows, 100)
    found = exact_nearest(vectors, asked, K)
    nearest = [[f"film-{row:08}" for row in rows] for rows in found.tolist()]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    writer = context.Process(target=fill, args=(folder, vectors[:rows], vectors[rows:], theirs))
    writer.start()
    index_s = ours.recv()
    writer.kill()
    writer.join()
    del vectors
    reader = context.Process(target=reopen, args=(folder, asked, nearest, theirs))
    reader.start()
    figures = ours.recv()
    reader.join()
    return Reopening(rows, tail_rows, index_s, *figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each ingest measurement")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: temporary")
    add_data_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        results = run(Path(name), options)
    target = Path(__file__).parent / "results" / "durability.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    floors = {size: fsync_rate(folder, size, options.seconds) for size in (4096, 4 * 512 * 1000)}
    for size, rate in floors.items():
        print(f"floor: {rate:8.0f} appends/s of {size:>9,} bytes, each synced", flush=True)
    vectors, _ = wide_films(options.data, 50_000, 1)
    print("\n  batch  writers  durability     acks/s     rows/s")
    ingests = []
    cases = [(b, w, Durability.FSYNC) for b in (1, 10, 100, 1000) for w in (1, 4, 16)]
    for batch, writers, durability in [*cases, (1, 1, Durability.BUFFERED)]:
        got = ingest(folder, vectors, batch, writers, options.seconds, durability)
        ingests.append(asdict(got))
        print(
            f"{batch:>7}  {writers:>7}  {durability:>10}  {got.acks_per_s:>9,.0f}  "
            f"{got.rows_per_s:>9,.0f}",
            flush=True,
        )
    many = np.tile(vectors, (4, 1))
    burst_rate = burst(folder, many)
    print(f"\nburst of {len(many):,} rows, one writer: {burst_rate:,.0f} rows/s", flush=True)
    reopenings = []
    for rows in options.rows:
        figures = reopening(folder / f"reopen-{rows}", options.data, rows)
        reopenings.append(asdict(figures))
        print(
            "\n" + "\n".join(f"{k:>16}  {v:,.3f}" for k, v in asdict(figures).items()), flush=True
        )
    return {
        "floor_appends_per_s": floors,
        "ingest": ingests,
        "burst_rows_per_s": burst_rate,
        "reopening": reopenings,
    }


if __name__ == "__main__":
    main()
