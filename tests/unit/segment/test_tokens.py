import unicodedata
from collections.abc import Sequence

import pyarrow as pa
import pytest

from akidb_ray.domain.words import words_of
from akidb_ray.segment import tokens
from akidb_ray.segment.tokens import tokenize

TEXTS = [
    "",
    "One, two; ONE!",
    "it's the '90s: rock'n'roll 'quoted' o''clock '",
    "’tis Jack’s o'’clock",
    "snake_case 3.14 a\nb\tc\x00d",
    "日本語のテキスト and English",
    "Straße ÉCOLE ﬁne ½ İstanbul ΟΔΟΣ",
    "हिन्दी में",
    "e\u0301a \u0301 a'\u0301 日'本 a'日 日'a",
    "\U0001f600 emoji 𝔘𝔫𝔦 𠀀𠀁",
    "   ",
]


def _words(texts: Sequence[str]) -> list[list[str]]:
    found = tokenize(texts)
    words = found.words.take(pa.array(found.codes)).to_pylist()
    ends = found.lengths.cumsum().tolist()
    return [words[end - length : end] for end, length in zip(ends, found.lengths, strict=True)]


def test_texts_have_the_words_that_each_has_alone() -> None:
    assert _words(TEXTS) == [words_of(text) for text in TEXTS]
    assert _words(TEXTS[::-1]) == [words_of(text) for text in TEXTS[::-1]]
    assert _words([]) == []
    assert _words([""] * 3) == [[]] * 3


@pytest.mark.parametrize("characters", [1, 30, 1000])
def test_it_makes_no_difference_how_texts_are_put_together(
    monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    monkeypatch.setattr(tokens, "_BLOCK_CHARACTERS", characters)
    assert _words(TEXTS * 3) == [words_of(text) for text in TEXTS * 3]


def test_every_character_is_taken_as_in_words() -> None:
    characters = [chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) != "Cs"]
    texts = ["".join(characters[start : start + 64]) for start in range(0, len(characters), 64)]
    apart = [" ".join(text) for text in texts]
    assert _words(texts) == [words_of(text) for text in texts]
    assert _words(apart) == [words_of(text) for text in apart]


def test_different_words_stand_once() -> None:
    words = tokenize(["b a b", "a c"]).words.to_pylist()
    assert sorted(words) == ["a", "b", "c"]
