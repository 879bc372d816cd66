"""Full-text conditions on many strings: what Arrow leaves out must be without the words."""

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from akidb_ray.domain.filter import MatchText
from akidb_ray.domain.words import words_of
from akidb_ray.segment.column_text import _PLAIN, words_that_meet

TEXTS = [
    "", "red shoes", "RED", "reddish", "Don't", "don’t", "don＇t", "ＲＥＤ ｓｈｏｅｓ", "ﬁre",
    "Fire!", "naïve", "NAÏVE", "nai\u0308ve", "İzmir", "i\u0307zmir", "Москва", "москва́",
    "日本、本", "㈱", "株", "\u212aelvin", "kelvin", "한국어", "\u1112\u1161\u11ab국어",
    "ΣΟΦΟΣ", "σοφος", "ｶﾞ", "ガ", "カ\u3099",
]  # fmt: skip


@pytest.mark.parametrize("phrase", [False, True])
def test_strings_have_the_words_that_words_of_finds(phrase: bool) -> None:
    strings = pa.array(TEXTS, pa.large_string())
    for wanted in {tuple(words_of(text)) for text in TEXTS}:
        expected = [
            bool(wanted) and (_in_a_row(words_of(t), wanted) if phrase else _all(t, wanted))
            for t in TEXTS
        ]
        assert words_that_meet(MatchText("k", wanted, phrase), strings).tolist() == expected


def _all(text: str, wanted: tuple[str, ...]) -> bool:
    return set(wanted) <= set(words_of(text))


def _in_a_row(found: list[str], wanted: tuple[str, ...]) -> bool:
    return f"\0{chr(0).join(wanted)}\0" in f"\0{chr(0).join(found)}\0"


def test_words_of_plain_characters_occur_in_them_as_arrow_lowers_them() -> None:
    ranges = re.findall(r"\\x\{?(\w+)\}?-\\x\{?(\w+)\}?", _PLAIN)
    plain = [chr(n) for low, high in ranges for n in range(int(low, 16), int(high, 16) + 1)]
    assert len(plain) > 30_000
    # Each between others, since some would join the one before or depend on the one behind.
    for frame in ("{}", "e{}a", "가{}s"):
        texts = [frame.format(character) for character in plain]
        lowered = pc.utf8_lower(pa.array(texts)).to_pylist()
        for text, low in zip(texts, lowered, strict=True):
            for word in words_of(text):
                assert all(part in low for part in word.split("'")), ascii(text)


def test_no_words_are_in_no_string() -> None:
    assert not words_that_meet(MatchText("k", ()), pa.array(TEXTS)).any()
    assert words_that_meet(MatchText("k", ("red",)), pa.array([], pa.large_string())).tolist() == []


def test_strings_are_looked_at_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    strings = pa.array(TEXTS, pa.large_string())
    whole = words_that_meet(MatchText("k", ("red",)), strings).tolist()
    monkeypatch.setattr("akidb_ray.segment.column_text._BLOCK_WORDS", 4)
    assert words_that_meet(MatchText("k", ("red",)), strings).tolist() == whole
    assert whole.count(True) == 3
