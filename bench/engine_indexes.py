"""What is compared: raw hnswlib, raw faiss and a shard over the same vectors."""

import functools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import EVERYTHING, Filter, RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import VectorQuery
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.index.faiss_threads import use_threads
from akidb_ray.segment.mask_cache import MaskCache
from akidb_ray.shard.merging import improve
from akidb_ray.shard.policy import HostPolicy, ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica, Surroundings
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.os_filesystem import OsFileSystem
from bench.engine_measuring import Engine, K, Mask, Truth, answered, timed
from bench.vectors import Floats

M, EF_CONSTRUCTION = 32, 200
# Steps of a twentieth where engines differ by no more.
LADDER = (
    10, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152,
    160, 168, 176, 184, 192, 200, 210, 220, 230, 240, 252, 264, 276, 288, 304, 320, 336, 352, 370,
    400, 440, 500, 560, 640, 720, 800, 900, 1000, 1200, 1400, 1700, 2000,
)  # fmt: skip
ENOUGH_RECALL = 0.99
HNSWLIB, FAISS, NUMPY = "raw hnswlib", "raw faiss", "numpy, exact"
SHARD, RANKED = "shard", "shard, ids only"
ALL = RowFilter()
KEY = ShardKey(TenantId.new(), CollectionId.new(), 0)
_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Rows:
    """The documents of a shard; row n has the id n."""

    vectors: Floats
    payloads: Sequence[bytes | None]
    texts: Sequence[str | None]

    def batch(self, start: int, end: int) -> DocumentBatch:
        ids = [str(row) for row in range(start, min(end, len(self.vectors)))]
        part = slice(start, end)
        return DocumentBatch(ids, self.vectors[part], self.texts[part], self.payloads[part])


@dataclass(frozen=True)
class Built:
    """Seconds by the clock and on the cores; `write_s` went before, for durable writes."""

    build_s: float
    cpu_s: float
    write_s: float = 0.0


def build_hnswlib(base: Floats, path: Path, threads: int) -> Built:
    index = hnswlib.Index(space="ip", dim=base.shape[1])
    index.init_index(len(base), ef_construction=EF_CONSTRUCTION, M=M)
    built = Built(*timed(lambda: index.add_items(base, num_threads=threads)))
    index.save_index(str(path))
    return built


def load_hnswlib(path: Path, dimension: int) -> hnswlib.Index:
    index = hnswlib.Index(space="ip", dim=dimension)
    index.load_index(str(path))
    return index


def build_faiss(base: Floats, path: Path, threads: int) -> Built:
    index = faiss.IndexHNSWFlat(base.shape[1], M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    use_threads(threads)
    built = Built(*timed(lambda: index.add(base)))
    faiss.write_index(index, str(path))
    return built


def one_segment(rows: int, threads: int) -> ShardPolicy:
    """All rows in one segment, sealed when the last of them is there; no log is kept."""
    return ShardPolicy(
        seal_rows=rows,
        seal_bytes=2**50,
        max_segment_bytes=2**50,
        unindexed_slow_rows=2**40,
        unindexed_max_rows=2**40,
        checkpoint_wal_bytes=2**50,
        checkpoint_wal_files=2**30,
        wal_retention_bytes=0,
        build_threads=threads,
    )


def build_shard(
    rows: Rows, path: Path, threads: int, spec: CollectionSpec | None = None
) -> tuple[Built, Built]:
    """What sealing took (and before it, writing), and what the graph took."""
    shutil.rmtree(path, ignore_errors=True)
    fs = OsFileSystem(path)
    create_replica(fs, spec or CollectionSpec(rows.vectors.shape[1]), {})
    replica = open_replica(fs, one_segment(len(rows.vectors), threads))

    def write() -> None:
        for start in range(0, len(rows.vectors), _BATCH):
            replica.write(ShardUpsert(KEY, rows.batch(start, start + _BATCH), ALL))

    write_s, _ = timed(write)
    sealing = Built(*timed(lambda: until_quiet(flush, replica)), write_s)
    indexing = Built(*timed(lambda: until_quiet(improve, replica)))
    replica.close()
    return sealing, indexing


def until_quiet(work: Callable[[Replica], bool], replica: Replica) -> None:
    while work(replica):
        pass


def open_shard(path: Path, policy: ShardPolicy, with_masks: bool = True) -> Replica:
    """With the cache for masks that a host has, or without one."""
    masks = MaskCache(HostPolicy().mask_cache_bytes) if with_masks else None
    return open_replica(OsFileSystem(path), policy, Surroundings(masks=masks))


class Indexes:
    """Over the same rows, made when first asked for, and found again in `folder`."""

    def __init__(self, name: str, rows: Rows, queries: Floats, folder: Path, threads: int) -> None:
        self.rows, self.base, self.queries = rows, rows.vectors, queries
        self.threads = threads
        stem = f"{name}-{len(rows.vectors)}"
        self.hnswlib_path = folder / f"{stem}.hnswlib"
        self.faiss_path = folder / f"{stem}.faiss"
        self.shard_path = folder / f"{stem}.shard"
        self.policy = one_segment(len(rows.vectors), threads)

    def build_hnswlib(self) -> Built:
        return build_hnswlib(self.base, self.hnswlib_path, self.threads)

    def build_faiss(self) -> Built:
        return build_faiss(self.base, self.faiss_path, self.threads)

    def build_shard(self) -> tuple[Built, Built]:
        """First beside its place: a build may be broken off."""
        scratch = self.shard_path.with_suffix(".new")
        built = build_shard(self.rows, scratch, self.threads)
        shutil.rmtree(self.shard_path, ignore_errors=True)
        scratch.rename(self.shard_path)
        return built

    def copied_shard(self, target: Path) -> Path:
        """A copy to open beside the original; files that never change are shared."""
        source = self.shard_path
        if not source.exists():
            self.build_shard()
        shutil.rmtree(target, ignore_errors=True)

        def copy(file: str, copied: str) -> None:
            fixed = Path(file).relative_to(source).parts[0] in ("segments", "indexes")
            (os.link if fixed else shutil.copy2)(file, copied)

        shutil.copytree(source, target, copy_function=copy)
        return target

    @functools.cached_property
    def hnswlib(self) -> hnswlib.Index:
        if not self.hnswlib_path.exists():
            self.build_hnswlib()
        return load_hnswlib(self.hnswlib_path, self.base.shape[1])

    @functools.cached_property
    def faiss(self) -> "faiss.IndexHNSWFlat":
        if not self.faiss_path.exists():
            self.build_faiss()
        return faiss.read_index(str(self.faiss_path))

    @functools.cached_property
    def shard(self) -> Replica:
        if not self.shard_path.exists():
            self.build_shard()
        return open_shard(self.shard_path, self.policy)

    @functools.cached_property
    def truth(self) -> Truth:
        return Truth.of(self.base, self.queries)

    @functools.cached_property
    def equal_ef(self) -> dict[str, int]:
        """The smallest ef of the ladder with which each engine finds enough."""
        made = {HNSWLIB: self.of_hnswlib, FAISS: self.of_faiss, SHARD: self.of_shard}
        return {name: enough_ef(make, self.truth) for name, make in made.items()}

    def of_hnswlib(self, ef: int, masks: Sequence[Mask] | None = None) -> Engine:
        """A mask is asked through the callback that its Python binding has for it."""
        index = self.hnswlib

        def ask(number: int) -> Any:
            index.set_ef(ef)
            try:
                if masks is None:
                    return index.knn_query(self.queries[number], K, num_threads=1)[0][0]
                allowed = masks[number].item
                return index.knn_query(self.queries[number], K, num_threads=1, filter=allowed)[0][0]
            except RuntimeError:
                # It found fewer than K, and then gives none.
                return np.empty(0, np.int64)

        return Engine(HNSWLIB, ask, list)

    def of_faiss(self, ef: int, masks: Sequence[Mask] | None = None) -> Engine:
        """Bitmaps and parameters are made beforehand."""
        index = self.faiss
        unmasked = faiss.SearchParametersHNSW(efSearch=ef)
        kept = {} if masks is None else {id(mask): _masked(mask, ef) for mask in masks}

        def ask(number: int) -> Any:
            use_threads(1)
            how = unmasked if masks is None else kept[id(masks[number])][0]
            return index.search(self.queries[number : number + 1], K, params=how)[1][0]

        return Engine(FAISS, ask, lambda found: [row for row in found.tolist() if row >= 0])

    def of_shard(
        self,
        ef: int,
        filters: Sequence[Filter] | None = None,
        replica: Replica | None = None,
        name: str = SHARD,
    ) -> Engine:
        asked = replica or self.shard

        def ask(number: int) -> Any:
            filter = EVERYTHING if filters is None else filters[number]
            return asked.view().search(VectorQuery(self.queries[number], K, filter, ef), ALL)

        return Engine(name, ask, lambda hits: [int(hit.id) for hit in hits])

    def of_ranked(self, ef: int) -> Engine:
        replica = self.shard

        def ask(number: int) -> Any:
            return replica.view().ranked(VectorQuery(self.queries[number], K, ef=ef), ALL)

        return Engine(RANKED, ask, lambda found: [int(candidate.id) for candidate in found])

    def of_numpy(self, masks: Sequence[Mask] | None = None) -> Engine:
        def ask(number: int) -> Any:
            query = self.queries[number]
            if masks is None:
                return _largest(self.base @ query)
            rows = np.flatnonzero(masks[number])
            return rows[_largest(self.base[rows] @ query)]

        return Engine(NUMPY, ask, list)


def _largest(products: Floats) -> Any:
    k = min(K, len(products))
    return np.argpartition(products, len(products) - k)[len(products) - k :] if k else []


def _masked(mask: Mask, ef: int) -> tuple[Any, ...]:
    """Parameters, and what they point to."""
    bits = np.packbits(mask, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
    return faiss.SearchParametersHNSW(efSearch=ef, sel=selector), selector, bits


def enough_ef(make: Callable[[int], Engine], truth: Truth, least: int = 0) -> int:
    """The smallest ef of the ladder, from `least` on, that finds enough; else the largest."""
    efs = [ef for ef in LADDER if ef >= least]
    low, high = 0, len(efs) - 1
    while low < high:
        middle = (low + high) // 2
        found = answered(make(efs[middle]), len(truth.queries))
        if truth.recall(found) >= ENOUGH_RECALL:
            high = middle
        else:
            low = middle + 1
    return efs[low]
