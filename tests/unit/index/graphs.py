"""Graphs made without their folders."""

from pathlib import Path

from akidb_ray.domain.collection import Metric
from akidb_ray.index.distance import Floats
from akidb_ray.index.hnswlib_graph import HnswBuild, HnswlibGraph, scale_for
from akidb_ray.index.vector_scan import scan_vectors


def built(
    metric: Metric, vectors: Floats, m: int, ef_construction: int, threads: int = 2
) -> HnswBuild:
    scan = scan_vectors(vectors)
    rows, dimension = vectors.shape
    scale = scale_for(metric, scan.lengths)
    build = HnswBuild.start(metric, dimension, rows, m, ef_construction, scale)
    build.add(vectors, scan.repeated, threads)
    return build


def saved(build: HnswBuild, metric: Metric, dimension: int, path: Path) -> HnswlibGraph:
    build.save(str(path))
    return HnswlibGraph.load(metric, dimension, str(path))
