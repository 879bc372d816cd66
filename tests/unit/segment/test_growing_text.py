"""Postings of rows that only get more."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from akidb_ray.domain.collection import Language
from akidb_ray.segment import growing_text
from akidb_ray.segment.growing import GrowingSegment
from akidb_ray.segment.growing_text import GrowingText
from akidb_ray.segment.merged_postings import PostingsSource, merge_postings, postings_of
from akidb_ray.segment.postings import Postings, TextBlock
from akidb_ray.segment.terms import Analyzer, analyzer_of
from tests.unit.segment.rows_of_documents import DIMENSION, rows_with
from tests.unit.segment.test_postings import file_of

ENGLISH, PLAIN = analyzer_of(Language.ENGLISH), analyzer_of(Language.NONE)
TEXTS = [None if number % 7 == 3 else f"text number {number}" for number in range(300)]


def _blocks(text: GrowingText, rows: int, analyzer: Analyzer = ENGLISH) -> Sequence[TextBlock]:
    return text.blocks(lambda start, end: TEXTS[start:end], rows, analyzer)


def _joined(blocks: Sequence[TextBlock]) -> Postings:
    end = blocks[-1].end
    sources = [PostingsSource(b.postings, np.arange(b.start, b.end)) for b in blocks]
    return merge_postings(sources, end, blocks[0].postings.analysis)


@pytest.mark.parametrize("step", [1, 7, 100, 300])
def test_blocks_hold_all_rows_and_are_few(step: int) -> None:
    text = GrowingText()
    for rows in range(step, 301, step):
        blocks = _blocks(text, rows)
        assert [b.start for b in blocks] == [0, *(b.end for b in blocks[:-1])]
        assert blocks[-1].end == rows
        assert len(blocks) <= 1 + np.log2(rows)
    assert file_of(_joined(blocks)) == file_of(postings_of(TEXTS[:rows], ENGLISH))


def test_each_row_is_tokenized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str | None] = []

    def postings_of_read(texts: list[str | None], analyzer: Analyzer) -> Postings:
        read.extend(texts)
        return postings_of(texts, analyzer)

    monkeypatch.setattr(growing_text, "postings_of", postings_of_read)
    text = GrowingText()
    for rows in (0, 10, 5, 10, 11, 200, 150, 300):
        _blocks(text, rows)
    assert read == TEXTS


def test_another_analysis_is_made_anew() -> None:
    text = GrowingText()
    assert text.known(ENGLISH) == ()
    _blocks(text, 100)
    assert text.known(PLAIN) == ()
    (block,) = _blocks(text, 50, PLAIN)
    assert file_of(block.postings) == file_of(postings_of(TEXTS[:50], PLAIN))
    assert text.known(PLAIN) == (block,)


def test_postings_count_as_memory_of_the_segment() -> None:
    segment = GrowingSegment(DIMENSION)
    segment.append(rows_with([None] * 500), version=1)
    before = segment.size_bytes
    (block,) = segment.text_blocks(500, ENGLISH)
    assert segment.size_bytes == before + block.postings.size_bytes > before


def test_readers_see_whole_rows_while_a_writer_appends() -> None:
    segment, rounds = GrowingSegment(DIMENSION), 150
    done, errors = threading.Event(), []

    def read() -> None:
        try:
            while not done.is_set() or len(segment) < 3 * rounds:
                rows = len(segment)
                if rows:
                    blocks = segment.text_blocks(rows, ENGLISH)
                    assert blocks[-1].end >= rows
                    found = [
                        block.start + row
                        for block in blocks
                        if block.postings.find("text") >= 0
                        for row in block.postings.places(block.postings.find("text"))[0].tolist()
                    ]
                    # In each batch of three the first row has no text.
                    assert found == [row for row in range(blocks[-1].end) if row % 3]
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(rounds):
        segment.append(rows_with([None] * 3, prefix=str(number)), version=number)
    done.set()
    for reader in readers:
        reader.join()
    assert not errors
