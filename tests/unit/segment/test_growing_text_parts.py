"""Postings of many texts that have none yet."""

from collections.abc import Sequence

import pytest

from akidb_ray.domain.collection import Language
from akidb_ray.segment import growing_text
from akidb_ray.segment.growing_text import GrowingText
from akidb_ray.segment.merged_postings import postings_of
from akidb_ray.segment.terms import analyzer_of


def test_texts_are_read_a_part_at_a_time_and_give_the_same_postings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growing_text, "_ROWS_AT_A_TIME", 10)
    texts = [f"word{row % 7} of {row}" if row % 5 else None for row in range(93)]
    read = []

    def between(start: int, end: int) -> Sequence[str | None]:
        read.append(end - start)
        return texts[start:end]

    analyzer = analyzer_of(Language.ENGLISH)
    blocks = GrowingText().blocks(between, len(texts), analyzer)
    assert max(read) == 10
    assert [block.start for block in blocks] == [0, *(block.end for block in blocks[:-1])]
    assert blocks[-1].end == sum(read) == len(texts)
    for block in blocks:
        alone = postings_of(texts[block.start : block.end], analyzer)
        assert block.postings.terms.equals(alone.terms)
        assert block.postings.rows.tolist() == alone.rows.tolist()
        assert block.postings.lengths.tolist() == alone.lengths.tolist()
