import threading

import pytest

from akidb_ray.domain.collection import Language
from akidb_ray.domain.words import words_of
from akidb_ray.segment.terms import Analyzer, analyzer_of


@pytest.mark.parametrize(
    ("language", "words", "terms"),
    [
        (Language.ENGLISH, "Running films' film's studies", ["run", "film", "film", "studi"]),
        (Language.GERMAN, "Häuser Katzen", ["haus", "katz"]),
        (Language.FRENCH, "continuellement", ["continuel"]),
        (Language.RUSSIAN, "фильмы", ["фильм"]),
        (Language.NONE, "Running films", ["running", "films"]),
        (Language.ENGLISH, "日本 Καλημέρα", ["日", "本", "καλημέρα"]),
    ],
)
def test_words_become_the_stems_of_their_language(
    language: Language, words: str, terms: list[str]
) -> None:
    assert analyzer_of(language).terms_of(words_of(words)) == terms


@pytest.mark.parametrize("language", Language)
def test_every_language_has_an_analysis_of_its_own(language: Language) -> None:
    analyzer = analyzer_of(language)
    assert len(analyzer.terms_of(["one", "two"])) == 2
    assert analyzer.analysis.startswith(f"{language}/")
    assert analyzer.analysis == Analyzer(language).analysis


def test_english_alone_has_stop_words() -> None:
    assert analyzer_of(Language.ENGLISH).is_stop_word("the")
    assert not analyzer_of(Language.ENGLISH).is_stop_word("theme")
    assert not analyzer_of(Language.GERMAN).is_stop_word("the")
    assert not analyzer_of(Language.NONE).is_stop_word("the")


@pytest.mark.parametrize("language", [Language.ENGLISH, Language.NONE])
def test_long_words_are_cut(language: Language) -> None:
    short, long = analyzer_of(language).terms_of(["x" * 255, "x" * 100_000])
    assert long == short == "x" * 255


def test_threads_share_an_analyzer() -> None:
    analyzer = Analyzer(Language.ENGLISH)
    words = [
        f"{stem}{ending}" for stem in ("runn", "walk", "talk") for ending in ("ing", "s", "ed")
    ]
    wanted, found = analyzer.terms_of(words), []

    def analyze() -> None:
        found.extend(analyzer.terms_of(words) for _ in range(200))

    threads = [threading.Thread(target=analyze) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 800
