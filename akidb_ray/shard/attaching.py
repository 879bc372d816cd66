"""Attaching segments that were written elsewhere: bulk loads, builds on other nodes, restores.

The files are copied into the replica's folder first, where nothing names them. Then one record of
the log takes them in with the meaning of an upsert, so that a crash leaves all of it or nothing.
The checkpoint moves past that record before such a segment is merged: a replay must find it.
"""

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import orjson

from akidb_ray.domain.collection import CollectionSpec, Metric
from akidb_ray.domain.document import DocumentBatch, check_vectors
from akidb_ray.domain.errors import AkiDBError, Corrupt, InvalidArgument
from akidb_ray.domain.write import WriteOutcome
from akidb_ray.index.graph_files import DESCRIPTION as GRAPH_DESCRIPTION
from akidb_ray.index.graph_files import base_graph, load_graph
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.membership import duplicate_ids
from akidb_ray.segment.rows import lengths_of, rows_of
from akidb_ray.segment.sealed import DESCRIPTION, SealedSegment
from akidb_ray.segment.segment_writer import Source, write_segment
from akidb_ray.shard.checkpoint import INDEXES, SEGMENTS
from akidb_ray.shard.operations import AttachSegments
from akidb_ray.shard.pressure import check_room
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import FileSystem
from akidb_ray.storage.manifest import SegmentEntry

_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """Folders of a file system that hold a segment and, perhaps, a graph over it."""

    segment: PurePath
    graph: PurePath | None = None


def build_segment(
    fs: FileSystem, folder: PurePath, batch: DocumentBatch, spec: CollectionSpec
) -> SegmentFiles:
    """Write a batch as a segment that `attach` takes; of documents with one id the last wins.

    Raises InvalidArgument, StorageFull, StorageFailed.
    """
    check_vectors(batch.vectors, spec.dimension, spec.metric)
    growing = GrowingSegment(spec.dimension)
    growing.append(rows_of(batch, spec.metric), version=0)
    source = Source(growing, np.arange(len(growing)))
    write_segment(fs, folder, [source], spec.dimension, spec.language)
    return SegmentFiles(folder)


def attach(replica: Replica, source: FileSystem, segments: Sequence[SegmentFiles]) -> WriteOutcome:
    """Put all documents of `segments` into the replica; they replace those with the same ids.

    Of segments that share an id the last one wins. When this returns they are durable.

    Raises InvalidArgument (a segment of another collection's shape, or with an id twice), Corrupt
    (in the source), StorageFull, StorageFailed.
    """
    check_room(replica.fs, replica.policy)
    copied: list[PurePath] = []
    try:
        entries = tuple(_copy(replica, source, files, copied) for files in segments)
        return replica.commit_now(AttachSegments(entries))
    except BaseException:
        # After a disk error the log may name them, and nobody knows: the next opening decides.
        if not replica.failed:
            with contextlib.suppress(AkiDBError):
                for folder in copied:
                    replica.fs.remove_tree(folder)
        raise


def _copy(
    replica: Replica, source: FileSystem, files: SegmentFiles, copied: list[PurePath]
) -> SegmentEntry:
    folder = SEGMENTS / str(uuid.uuid4())
    copied.append(folder)
    checksum = _copy_described(replica.fs, folder, source, files.segment, DESCRIPTION)
    segment = SealedSegment.open(replica.fs, folder, checksum)
    _check_fits(replica, segment)
    if files.graph is None:
        return SegmentEntry(folder.name, len(segment), checksum)
    graph_folder = INDEXES / str(uuid.uuid4())
    copied.append(graph_folder)
    graph_checksum = _copy_described(
        replica.fs, graph_folder, source, files.graph, GRAPH_DESCRIPTION
    )
    made_for = base_graph(replica.fs, graph_folder, graph_checksum).description.metric
    if made_for is not replica.metric:
        reason = f"is of the metric {made_for}, the collection of {replica.metric}"
        raise InvalidArgument("segments.graph", reason)
    try:
        load_graph(replica.fs, graph_folder, graph_checksum, segment.vectors)
    except Corrupt as error:
        reason = error.fields["reason"]
        raise InvalidArgument("segments.graph", f"does not fit its segment: {reason}") from error
    return SegmentEntry(folder.name, len(segment), checksum, graph_folder.name, graph_checksum)


def _copy_described(
    fs: FileSystem, target: PurePath, source: FileSystem, folder: PurePath, description: str
) -> int:
    """Copy a description and the files it lists; return the checksum of the description."""
    raw = source.read(folder / description)
    try:
        names = list(orjson.loads(raw)["files"])
    except (ValueError, KeyError, TypeError):
        raise Corrupt(str(folder / description), "is no description of files") from None
    for name in names:
        if PurePath(name).name != name:
            raise InvalidArgument("segments", f"{name!r} is no name of a file in {folder}")
    fs.create_directory(target)
    for name in names:
        fs.copy_in(target / name, source, folder / name)
    fs.write(target / description, [raw])
    fs.sync_directory(target)
    return crc32c(raw)


def _check_fits(replica: Replica, segment: SealedSegment) -> None:
    vectors = segment.vectors
    if segment.born_dead is not None:
        vectors = vectors[~segment.born_dead]
    check_vectors(vectors, replica.dimension, replica.metric, "segments.vector")
    if replica.metric is Metric.COSINE and len(vectors):
        worst = float(np.abs(lengths_of(vectors) - 1.0).max())
        if worst > _UNIT_TOLERANCE:
            raise InvalidArgument("segments.vector", "must have unit length under cosine")
    twice = duplicate_ids(segment)
    if twice:
        raise InvalidArgument("segments.id", f"{twice[0]!r} is there twice")
