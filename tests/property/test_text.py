"""Keyword search finds what a search without any index finds, whatever the segments are."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from akidb_ray.domain.collection import Language, Metric
from akidb_ray.domain.document import NEVER, DocumentBatch
from akidb_ray.domain.words import words_of
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.merged_postings import PostingsSource, merge_postings, postings_of
from akidb_ray.segment.posting_files import decode_postings, encode_postings
from akidb_ray.segment.rows import rows_of
from akidb_ray.segment.segment_writer import Source
from akidb_ray.segment.terms import analyzer_of
from akidb_ray.segment.tokens import tokenize
from akidb_ray.segment.view import SegmentView, view_of
from akidb_ray.shard.text_search import search_text
from akidb_ray.storage.memory_filesystem import MemoryFileSystem
from tests.property.naive_text import Scored, ranked
from tests.unit.segment.rows_of_documents import sealed_of

ENGLISH = analyzer_of(Language.ENGLISH)
NOW = 1000.0
WORDS = ["film", "films", "the", "a", "of", "war", "space", "cat's", "日本", "été", "odd", "x1"]
words = st.sampled_from(WORDS)
texts = st.none() | st.lists(words, max_size=12).map(" ".join)
queries = st.lists(words | st.sampled_from(['"', '"', "unknown", "-"]), max_size=8).map(" ".join)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | texts.map(str), max_size=8))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_words_of_many_texts_are_those_of_each(written: list[str]) -> None:
    found = tokenize(written)
    vocabulary = found.words.to_pylist()
    assert [vocabulary[code] for code in found.codes.tolist()] == [
        word for text in written for word in words_of(text)
    ]
    assert found.lengths.tolist() == [len(words_of(text)) for text in written]


@st.composite
def sources(draw: st.DrawFn) -> list[tuple[list[str | None], list[int]]]:
    """Texts of segments, and for each what becomes of its row: 0 left behind, 1 carried on without
    its document, else kept.
    """
    found = []
    for _ in range(draw(st.integers(0, 4))):
        written = draw(st.lists(texts, max_size=8))
        fate = st.sampled_from([0, 1, 2, 2, 2])
        found.append((written, draw(st.lists(fate, min_size=len(written), max_size=len(written)))))
    return found


@given(sources())
@settings(max_examples=200, deadline=None, print_blob=True)
def test_merged_postings_are_those_of_the_merged_texts(
    segments: list[tuple[list[str | None], list[int]]],
) -> None:
    merged: list[str | None] = []
    parts = []
    for written, fates in segments:
        new_rows = np.full(len(written), -1, np.int64)
        for row, fate in enumerate(fates):
            if fate == 2:
                new_rows[row] = len(merged)
            if fate:
                merged.append(written[row] if fate == 2 else None)
        parts.append(PostingsSource(postings_of(written, ENGLISH), new_rows))
    found = b"".join(encode_postings(merge_postings(parts, len(merged), ENGLISH.analysis)))
    assert found == b"".join(encode_postings(postings_of(merged, ENGLISH)))
    decode_postings(found, len(merged))


@dataclass
class Case:
    """Segments that hold the same documents as one dict, and which of them may be found."""

    views: list[SegmentView] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)
    texts: dict[str, str | None] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)

    def found(self, query: str, limit: int) -> Scored:
        found = search_text(self.views, self.masks, NOW, Language.ENGLISH, query, limit)
        for _, id, view, row in found:
            assert view.segment.id(row) == id
        return [(-score, id) for score, id, _, _ in found]


def _growing(written: list[str | None], first: int, expires_at: list[float]) -> GrowingSegment:
    segment, count = GrowingSegment(16), len(written)
    ids = [f"{number:03d}" for number in range(first, first + count)]
    batch = DocumentBatch(
        ids, np.ones((count, 16), np.float32), written, [None] * count, np.array(expires_at)
    )
    segment.append(rows_of(batch, Metric.L2), version=1)
    return segment


@st.composite
def cases(draw: st.DrawFn) -> Case:
    case, first = Case(), 0
    for _ in range(draw(st.integers(0, 4))):
        written = draw(st.lists(texts, min_size=1, max_size=12))
        count = len(written)
        some = st.lists(st.sampled_from([True, True, False]), min_size=count, max_size=count)
        ends = [NEVER, NEVER, NOW - 1, NOW + 1]
        expires_at = draw(st.lists(st.sampled_from(ends), min_size=count, max_size=count))
        segment = _growing(written, first, expires_at)
        # Searched before it got all its rows.
        segment.text_blocks(draw(st.integers(0, count)), ENGLISH)
        live, wanted = np.array(draw(some)), np.array(draw(some))
        view = view_of(segment, live)
        if draw(st.booleans()):
            source = Source(segment, np.arange(count))
            path = PurePosixPath("segments") / str(first)
            view = view_of(sealed_of(MemoryFileSystem(), source, path=path, dimension=16), live)
        case.views.append(view)
        case.masks.append(view.alive(NOW) & wanted)
        for row in np.flatnonzero(view.alive(NOW)).tolist():
            case.texts[view.segment.id(row)] = written[row]
        case.allowed |= {view.segment.id(row) for row in np.flatnonzero(case.masks[-1]).tolist()}
        first += count
    return case


@given(cases(), queries, st.integers(1, 20), st.sampled_from([0, 2, 5, 1000]))
@settings(max_examples=400, deadline=None, print_blob=True)
def test_search_finds_what_a_search_without_index_finds(
    case: Case, query: str, limit: int, many: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # So that rows are dropped early in segments as small as these.
        patch.setattr("akidb_ray.segment.text_search._MANY_ENTRIES", many)
        found = case.found(query, limit)
    assert found == ranked(case.texts, case.allowed, query, limit)
    assert case.found(query, limit) == found


def test_early_dropping_changes_nothing_in_a_large_segment() -> None:
    random = np.random.default_rng(3)
    vocabulary = [f"w{number}" for number in range(60)]
    shares = 1 / np.arange(1, 61)
    written = [
        " ".join(random.choice(vocabulary, size=random.integers(3, 30), p=shares / shares.sum()))
        for _ in range(3000)
    ]
    segment = _growing(list(written), 0, [NEVER] * 3000)
    view = view_of(segment, np.ones(3000, np.bool_))
    mask = random.random(3000) < 0.5
    texts = {segment.id(row): text for row, text in enumerate(written)}
    for allowed in (view.live, mask):
        case = Case([view], [allowed], dict(texts))
        ids = {segment.id(row) for row in np.flatnonzero(allowed).tolist()}
        for query in ("w0 w1 w2", "w40 w0 w1", "w50 w51 w0", "w0", "w30 w31 w32 w0 w1 w2 w3"):
            assert case.found(query, 10) == ranked(dict(texts), ids, query, 10), query
