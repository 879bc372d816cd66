"""Postings of sealed segments: written with them, or made at the first search."""

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import orjson
import pytest

from akidb_ray.domain.collection import Language
from akidb_ray.domain.errors import Corrupt
from akidb_ray.segment import growing_text, segment_writer
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.merged_postings import postings_of
from akidb_ray.segment.postings import Postings
from akidb_ray.segment.sealed import DESCRIPTION, POSTINGS, SealedSegment
from akidb_ray.segment.segment_writer import Source, write_segment
from akidb_ray.segment.terms import analyzer_of
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.unit.segment.rows_of_documents import (
    DIMENSION,
    PATH,
    all_of,
    growing_with,
    rows_with,
    sealed_of,
)
from tests.unit.segment.test_postings import file_of

ENGLISH, GERMAN = analyzer_of(Language.ENGLISH), analyzer_of(Language.GERMAN)
TEXTS = [None if number % 3 == 0 else f"text {number}" for number in range(10)]
TWO = PurePosixPath("segments/two")


def _postings(segment: SealedSegment) -> Postings:
    (block,) = segment.text_blocks(len(segment), ENGLISH)
    assert block.start == 0
    return block.postings


def _with_postings(fs: OsFileSystem, content: bytes | None) -> int:
    """Put other postings, or none, into the segment at PATH; return the new checksum."""
    description = orjson.loads(fs.read(PATH / DESCRIPTION))
    del description["files"][POSTINGS]
    if content is not None:
        fs.write(PATH / POSTINGS, [content])
        facts = {"size_bytes": len(content), "crc32c": crc32c(content)}
        description["files"][POSTINGS] = facts
    raw = orjson.dumps(description)
    fs.write(PATH / DESCRIPTION, [raw])
    return crc32c(raw)


def _no_tokenizing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Postings:
        raise AssertionError("texts were read")

    monkeypatch.setattr(segment_writer, "postings_of", refuse)
    monkeypatch.setattr(growing_text, "postings_of", refuse)


def test_written_postings_are_used(fs: OsFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = sealed_of(fs, all_of(growing_with([None] * 10)))
    _no_tokenizing(monkeypatch)
    assert file_of(_postings(segment)) == file_of(postings_of(TEXTS, ENGLISH))
    assert segment.memory_bytes == 0
    assert segment.mapped_bytes > fs.size_bytes(PATH / POSTINGS) > 0


def test_segment_of_before_makes_its_postings_at_the_first_search(
    fs: OsFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_of(fs, all_of(growing_with([None] * 10)))
    segment = SealedSegment.open(fs, PATH, _with_postings(fs, None))
    assert segment.known_text(ENGLISH) == ()
    made = _postings(segment)
    assert file_of(made) == file_of(postings_of(TEXTS, ENGLISH))
    assert segment.memory_bytes == made.size_bytes
    _no_tokenizing(monkeypatch)
    assert _postings(segment) is made
    again = sealed_of(fs, all_of(segment), path=TWO)
    assert file_of(_postings(again)) == file_of(made)


def test_postings_of_another_analysis_are_made_again(fs: OsFileSystem) -> None:
    sealed_of(fs, all_of(growing_with([None] * 10)))
    other = replace(postings_of(["other"] * 10, ENGLISH), analysis="english/0.1/0")
    segment = SealedSegment.open(fs, PATH, _with_postings(fs, file_of(other)))
    assert file_of(_postings(segment)) == file_of(postings_of(TEXTS, ENGLISH))
    write_segment(fs, TWO, [all_of(segment)], DIMENSION, Language.GERMAN)
    assert fs.read(TWO / POSTINGS) == file_of(postings_of(TEXTS, GERMAN))


@pytest.mark.parametrize(
    "content", [b"no Arrow file", file_of(postings_of(TEXTS[1:], ENGLISH))], ids=range(2)
)
def test_damaged_postings_are_corrupt(fs: OsFileSystem, content: bytes) -> None:
    sealed_of(fs, all_of(growing_with([None] * 10)))
    with pytest.raises(Corrupt) as stopped:
        SealedSegment.open(fs, PATH, _with_postings(fs, content))
    assert stopped.value.fields["file"] == str(PATH / POSTINGS)


@pytest.mark.parametrize("searched", [0, 4, 10, 14])
def test_seal_uses_what_searches_have_tokenized(fs: OsFileSystem, searched: int) -> None:
    growing = growing_with([None] * 10)
    growing.text_blocks(min(searched, 10), ENGLISH)
    growing.append(rows_with([None] * 5, "more"), version=8)
    growing.text_blocks(searched, ENGLISH)
    rows = np.array([1, 2, 4, 5, 8, 9, 11, 14])
    alive = rows != 5
    sealed_of(fs, Source(growing, rows, alive))
    texts = [growing.row(row).text if row != 5 else None for row in rows.tolist()]
    assert fs.read(PATH / POSTINGS) == file_of(postings_of(texts, ENGLISH))


def test_seal_of_searched_rows_reads_no_text(
    fs: OsFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = growing_with([None] * 10)
    growing.text_blocks(10, ENGLISH)
    _no_tokenizing(monkeypatch)
    sealed_of(fs, all_of(growing))
    assert fs.read(PATH / POSTINGS) == file_of(postings_of(TEXTS, ENGLISH))


def test_merge_reads_texts_only_of_sources_without_postings(
    fs: OsFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_of(fs, all_of(growing_with([None] * 10)))
    old = SealedSegment.open(fs, PATH, _with_postings(fs, None))
    new = sealed_of(fs, all_of(growing_with([None] * 10, "new")), path=TWO)
    read: list[str | None] = []

    def postings_of_read(texts: list[str | None], analyzer: object) -> Postings:
        read.extend(texts)
        return postings_of(texts, ENGLISH)

    monkeypatch.setattr(segment_writer, "postings_of", postings_of_read)
    rows = np.arange(10)
    merged = PurePosixPath("segments/merged")
    sealed_of(fs, Source(new, rows), Source(old, rows, rows != 4), path=merged)
    blanked = [*TEXTS[:4], None, *TEXTS[5:]]
    assert read == blanked
    assert fs.read(merged / POSTINGS) == file_of(postings_of(TEXTS + blanked, ENGLISH))


def test_segment_without_texts_has_tiny_postings(fs: OsFileSystem) -> None:
    growing = GrowingSegment(DIMENSION)
    rows = rows_with([None] * 2000)
    growing.append(replace(rows, texts=[None] * 2000), version=1)
    segment = sealed_of(fs, all_of(growing))
    assert fs.size_bytes(PATH / POSTINGS) < 3000
    assert _postings(segment).totals.documents == 0
