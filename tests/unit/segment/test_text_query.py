import pytest

from akidb_ray.domain.collection import Language
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.segment.terms import analyzer_of
from akidb_ray.segment.text_query import MAX_TERMS, AskedText, parse_text

ENGLISH, PLAIN = analyzer_of(Language.ENGLISH), analyzer_of(Language.NONE)


def test_words_become_terms_and_count_as_often_as_they_stand() -> None:
    assert parse_text("Films, film! Wars", ENGLISH) == AskedText({"film": 2, "war": 1})
    assert parse_text("Films, film! Wars", PLAIN) == AskedText({"films": 1, "film": 1, "wars": 1})


def test_stop_words_are_left_out_unless_there_is_nothing_else() -> None:
    assert parse_text("the war of a film", ENGLISH).terms == {"war": 1, "film": 1}
    assert parse_text("To be or not to be", ENGLISH).terms == {"to": 2, "be": 2, "or": 1, "not": 1}
    assert parse_text("the war", PLAIN).terms == {"the": 1, "war": 1}


@pytest.mark.parametrize("text", ["", "  ", "-- !?", '""', "\U0001f600"])
def test_text_without_words_asks_for_nothing(text: str) -> None:
    assert parse_text(text, ENGLISH) == AskedText({})


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ('a "war film" b', [("war", "film")]),
        ('"The Wars" and "Films"', [("the", "war"), ("film",)]),
        ("“star wars” „ein film“ «le film» ＂x y＂",
         [("star", "war"), ("ein", "film"), ("le", "film"), ("x", "y")]),
        ('war "film', []),
        ('"war" film"', [("war",)]),
        ('"', []),
        ('"" "-" film', []),
        ("it's 'war film'", []),
        ('"日本 film"', [("日", "本", "film")]),
    ],
)  # fmt: skip
def test_phrases_stand_between_double_quotes(text: str, phrases: list[tuple[str, ...]]) -> None:
    assert list(parse_text(text, ENGLISH).phrases) == phrases


def test_words_of_phrases_are_scored_too() -> None:
    assert parse_text('"the war" film', ENGLISH).terms == {"war": 1, "film": 1}


def test_too_many_different_words_are_refused() -> None:
    words = [f"w{number}" for number in range(MAX_TERMS)]
    assert len(parse_text(" ".join(words * 2), ENGLISH).terms) == MAX_TERMS
    with pytest.raises(InvalidArgument, match="1024") as refused:
        parse_text(" ".join([*words, "more"]), ENGLISH)
    assert refused.value.fields["field"] == "text"
