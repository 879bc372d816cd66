from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from akidb_ray.domain.collection import Language
from akidb_ray.domain.words import words_of
from akidb_ray.segment import merged_postings
from akidb_ray.segment.arrow_batches import decode_file, encode_file
from akidb_ray.segment.merged_postings import PostingsSource, merge_postings, postings_of
from akidb_ray.segment.phrases import phrase_rows
from akidb_ray.segment.posting_files import decode_postings, encode_postings
from akidb_ray.segment.postings import Postings, Totals
from akidb_ray.segment.terms import analyzer_of

ENGLISH = analyzer_of(Language.ENGLISH)
TEXTS = [
    "the cat sat on the mat",
    None,
    "Cats! cats; CATS",
    "",
    "日本 the end",
    "a mat for the cat",
]


def _postings(texts: Sequence[str | None] = TEXTS) -> Postings:
    return postings_of(texts, ENGLISH)


def contents(postings: Postings) -> dict[str, list[tuple[int, int, list[int]]]]:
    """For each term its rows, how often they have it, and where."""
    found = {}
    for number, term in enumerate(postings.terms.to_pylist()):
        rows, counts, positions = postings.places(number)
        ends = np.cumsum(counts, dtype=np.int64).tolist()
        found[term] = [
            (row, count, positions[end - count : end].tolist())
            for row, count, end in zip(rows.tolist(), counts.tolist(), ends, strict=True)
        ]
    return found


def file_of(postings: Postings) -> bytes:
    return b"".join(encode_postings(postings))


def test_terms_have_their_rows_counts_and_positions() -> None:
    postings = _postings()
    assert contents(postings) == {
        "a": [(5, 1, [0])],
        "cat": [(0, 1, [1]), (2, 3, [0, 1, 2]), (5, 1, [4])],
        "end": [(4, 1, [3])],
        "for": [(5, 1, [2])],
        "mat": [(0, 1, [5]), (5, 1, [1])],
        "on": [(0, 1, [3])],
        "sat": [(0, 1, [2])],
        "the": [(0, 2, [0, 4]), (4, 1, [2]), (5, 1, [3])],
        "日": [(4, 1, [0])],
        "本": [(4, 1, [1])],
    }
    assert postings.lengths.tolist() == [6, 0, 3, 0, 4, 5]
    assert postings.totals == Totals(4, 18)
    assert len(postings) == len(TEXTS)


def test_terms_are_found_by_their_names() -> None:
    postings = _postings()
    for number, term in enumerate(postings.terms.to_pylist()):
        assert postings.find(term) == number
    for term in ("", "cats", "zebra", "日本", "\U0001f600"):
        assert postings.find(term) == -1


def test_postings_come_back_from_their_file() -> None:
    postings = _postings()
    again = decode_postings(file_of(postings), len(TEXTS))
    assert again.analysis == ENGLISH.analysis
    assert contents(again) == contents(postings)
    assert again.lengths.tolist() == postings.lengths.tolist()
    assert (again.counts.dtype, again.positions.dtype) == (np.uint8, np.uint8)


def test_long_texts_and_frequent_terms_get_wider_numbers() -> None:
    text = "word " * 300 + "other " * 70_000 + "last"
    again = decode_postings(file_of(_postings([text, "word"])), 2)
    assert (again.counts.dtype, again.positions.dtype) == (np.uint32, np.uint32)
    assert contents(again)["word"] == [(0, 300, list(range(300))), (1, 1, [0])]
    assert contents(again)["last"] == [(0, 1, [70_300])]


@pytest.mark.parametrize("texts", [[], [None] * 100_000, ["", None, " -- "]], ids=range(3))
def test_rows_without_words_cost_next_to_nothing(texts: list[str | None]) -> None:
    postings = _postings(texts)
    file = file_of(postings)
    assert len(file) < 3000
    again = decode_postings(file, len(texts))
    assert again.lengths.tolist() == [0] * len(texts)
    assert again.totals == Totals()
    assert again.find("a") == -1


@pytest.mark.parametrize("characters", [1, 20, 10_000])
def test_it_makes_no_difference_in_what_parts_postings_are_made(
    monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    whole = file_of(_postings(TEXTS * 5))
    monkeypatch.setattr(merged_postings, "_BLOCK_CHARACTERS", characters)
    assert file_of(_postings(TEXTS * 5)) == whole


def test_merge_of_nothing_and_of_rows_that_are_all_left_behind_is_empty() -> None:
    assert file_of(merge_postings([], 3, ENGLISH.analysis)) == file_of(_postings([None] * 3))
    left = PostingsSource(_postings(), np.full(len(TEXTS), -1, np.int64))
    assert file_of(merge_postings([left], 0, ENGLISH.analysis)) == file_of(_postings([]))


def _changed(field: str, change: dict[int, int]) -> Postings:
    postings = _postings()
    values = getattr(postings, field).copy()
    for place, value in change.items():
        values[place] = value
    return replace(postings, **{field: values})


@pytest.mark.parametrize(
    "damaged",
    [
        _changed("rows", {0: len(TEXTS)}),
        _changed("rows", {0: -1}),
        _changed("rows", {1: 2, 2: 0}),
        _changed("rows", {1: 2}),
        _changed("counts", {2: 4}),
        _changed("counts", {2: 0}),
        _changed("starts", {0: 1}),
        _changed("starts", {-1: 99}),
        _changed("starts", {1: 0}),
        _changed("starts", {1: 5}),
        _changed("position_starts", {1: 2}),
        _changed("position_starts", {-1: 3}),
        _changed("lengths", {0: -1}),
        replace(_postings(), lengths=_postings().lengths[1:]),
        replace(_postings(), terms=_postings().terms[1:]),
        replace(_postings(), terms=pa.array([None] * 10, pa.large_string())),
        replace(_postings(), counts=_postings().counts[1:]),
        replace(_postings(), positions=_postings().positions[1:]),
    ],
    ids=range(18),
)
def test_postings_that_make_no_sense_are_refused(damaged: Postings) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_postings(file_of(damaged), len(TEXTS))


def _rewritten(change: dict[str, Any], repeated: int = 1) -> bytes:
    """The file with other columns."""
    batch = decode_file(file_of(_postings()))
    columns = {name: batch.column(name) for name in batch.schema.names} | change
    kept = {name: column for name, column in columns.items() if column is not None}
    arrays = [pa.concat_arrays([column] * repeated) for column in kept.values()]
    return b"".join(encode_file(pa.RecordBatch.from_arrays(arrays, list(kept))))


def test_other_columns_are_refused() -> None:
    wide = pa.array([[1] * 13], pa.large_list(pa.int64()))
    for file in (
        b"no Arrow file",
        file_of(_postings())[:-20],
        _rewritten({"counts": None}),
        _rewritten({"counts": wide}),
        _rewritten({"rows": wide}),
        _rewritten({"more": wide}),
        _rewritten({}, repeated=2),
        file_of(_postings(TEXTS[1:])),
    ):
        with pytest.raises(ValueError, match=r"."):
            decode_postings(file, len(TEXTS))


@pytest.mark.parametrize(
    ("phrase", "rows"),
    [
        ("the cat", [0, 5]),
        ("cat sat", [0]),
        ("cat cat", [2]),
        ("cat cat cat", [2]),
        ("cat cat cat cat", []),
        ("mat cat", []),
        ("on the mat", [0]),
        ("the the", []),
        ("日本", [4]),
        ("本日", []),
        ("cat", [0, 2, 5]),
        ("cat zebra", []),
    ],
)
def test_phrases_stand_in_texts_word_by_word(phrase: str, rows: list[int]) -> None:
    terms = words_of(phrase)
    everything = np.ones(len(TEXTS), np.bool_)
    assert phrase_rows(_postings(), terms, everything).tolist() == rows
    odd = np.arange(len(TEXTS)) % 2 == 1
    assert phrase_rows(_postings(), terms, odd).tolist() == [row for row in rows if row % 2]
    first = phrase_rows(_postings(), terms, everything[:3])
    assert first.tolist() == [row for row in rows if row < 3]
