"""How good the results are: keyword, vector and hybrid search on SciFact, by nDCG@10.

    python -m bench.relevance [--data FOLDER]

5,183 abstracts and 300 test claims with judgements. Everything goes through a shard, in one segment
and in many small ones: it must make no difference. Prints the tables, and writes them to
bench/results/relevance.json.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from akidb_ray.domain.collection import CollectionSpec, IndexKind
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import (
    Fusion,
    FusionMethod,
    HybridQuery,
    Query,
    TextQuery,
    VectorQuery,
)
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush
from akidb_ray.storage.os_filesystem import OsFileSystem
from bench.vectors import Floats, add_data_option

K, RECALL_AT = 10, 100
SEGMENTS = (1, 10, 60)
CANDIDATES = (10, 20, 50, 100, 200, 500, 1000)
RRF, WEIGHTED = Fusion(FusionMethod.RRF), Fusion(FusionMethod.WEIGHTED)


@dataclass(frozen=True)
class Judged:
    """Documents, the test queries, and for each of these how relevant documents are."""

    ids: Sequence[str]
    texts: Sequence[str]
    vectors: Floats
    queries: Sequence[str]
    query_vectors: Floats
    relevant: Sequence[Mapping[str, int]]


@dataclass(frozen=True)
class Figures:
    """Means over all queries. The latency is that of one caller."""

    search: str
    segments: int
    ndcg: float
    recall: float
    p50_ms: float


def scifact(data: Path) -> Judged:
    folder = data / "scifact"
    documents, queries = _lines(folder / "corpus.jsonl"), _lines(folder / "queries.jsonl")
    relevant: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        relevant.setdefault(query, {})[document] = int(grade)
    rows = [row for row, query in enumerate(queries) if query["_id"] in relevant]
    return Judged(
        ids=[document["_id"] for document in documents],
        texts=[f"{document['title']} {document['text']}" for document in documents],
        vectors=np.load(folder / "minilm_docs.npy").astype(np.float32),
        queries=[queries[row]["text"] for row in rows],
        query_vectors=np.load(folder / "minilm_queries.npy").astype(np.float32)[rows],
        relevant=[relevant[queries[row]["_id"]] for row in rows],
    )


def _lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def filled(folder: Path, judged: Judged, segments: int) -> Replica:
    """A shard with the documents in so many sealed segments."""
    fs = OsFileSystem(folder)
    spec = CollectionSpec(judged.vectors.shape[1], index_kind=IndexKind.FLAT)
    create_replica(fs, spec, {})
    replica = open_replica(fs, ShardPolicy())
    shard = ShardKey(TenantId.new(), CollectionId.new(), 0)
    for rows in np.array_split(np.arange(len(judged.ids)), segments):
        batch = DocumentBatch(
            [judged.ids[row] for row in rows],
            judged.vectors[rows],
            [judged.texts[row] for row in rows],
            [None] * len(rows),
        )
        replica.write(ShardUpsert(shard, batch, RowFilter()))
        replica.freeze()
        while flush(replica):
            pass
    assert len(replica.view().segments) == segments
    return replica


Ask = Callable[[int], Query]


def measured(search: str, segments: int, replica: Replica, judged: Judged, ask: Ask) -> Figures:
    ndcgs, recalls, took_ms = [], [], []
    for number, relevant in enumerate(judged.relevant):
        query = ask(number)
        started = time.perf_counter()
        hits = replica.view().search(query, RowFilter())
        took_ms.append((time.perf_counter() - started) * 1000)
        found = [hit.id for hit in hits]
        ndcgs.append(ndcg(found, relevant))
        recalls.append(len(relevant.keys() & set(found)) / len(relevant))
    return Figures(
        search,
        segments,
        float(np.mean(ndcgs)),
        float(np.mean(recalls)),
        float(np.median(took_ms)),
    )


def ndcg(found: Sequence[str], relevant: Mapping[str, int]) -> float:
    """nDCG@10 with grades as gains, as trec_eval has it."""
    gains = [relevant.get(document, 0) for document in found[:K]]
    ideal = sorted(relevant.values(), reverse=True)[:K]
    return _discounted(gains) / _discounted(ideal)


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def hybrid(judged: Judged, fusion: Fusion, candidates: int) -> Ask:
    return lambda number: HybridQuery(
        judged.query_vectors[number],
        judged.queries[number],
        fusion,
        limit=min(RECALL_AT, candidates),
        exact=True,
        candidates=candidates,
        with_payload=False,
    )


def ways(judged: Judged) -> dict[str, Ask]:
    return {
        "BM25": lambda number: TextQuery(
            judged.queries[number], limit=RECALL_AT, with_payload=False
        ),
        "MiniLM, exact": lambda number: VectorQuery(
            judged.query_vectors[number], limit=RECALL_AT, exact=True, with_payload=False
        ),
        "hybrid, RRF": hybrid(judged, RRF, 100),
        "hybrid, weighted": hybrid(judged, WEIGHTED, 100),
    }


def show(title: str, table: Sequence[Figures]) -> None:
    print(f"\n{title}")
    print(f"{'search':<28}{'segments':>9}{'nDCG@10':>9}{'R@100':>8}{'p50 ms':>8}")
    for row in table:
        print(
            f"{row.search:<28}{row.segments:>9}{row.ndcg:>9.4f}{row.recall:>8.4f}{row.p50_ms:>8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_option(parser)
    judged = scifact(parser.parse_args().data)
    table, depths = [], []
    for segments in SEGMENTS:
        with tempfile.TemporaryDirectory() as folder:
            replica = filled(Path(folder), judged, segments)
            for name, ask in ways(judged).items():
                table.append(measured(name, segments, replica, judged, ask))
            if segments == 1:
                for fusion in (RRF, WEIGHTED):
                    for depth in CANDIDATES:
                        name = f"{fusion.method}, candidates {depth}"
                        ask = hybrid(judged, fusion, depth)
                        depths.append(measured(name, segments, replica, judged, ask))
            replica.close()
    show(f"SciFact, {len(judged.ids)} documents, {len(judged.queries)} queries", table)
    show("how many candidates of each list fusion needs (R at most at so many)", depths)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    written = json.dumps([asdict(row) for row in (*table, *depths)], indent=1)
    (results / "relevance.json").write_text(written)


if __name__ == "__main__":
    main()
