"""Terms: what keyword search makes of words, by the language of the collection.

Words are reduced to their stems by Snowball (Porter, 2001, snowballstem.org), so that "films" finds
"film". Stop words are those of Lucene's EnglishAnalyzer; other languages have none.
"""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import Stemmer

from akidb_ray.domain.collection import Language

# Raised whenever the same words would become other terms, or texts other words.
_REVISION = 1
# The rest of a longer word tells nothing, and base64 would fill the list of terms.
_MAX_CHARACTERS = 255
_STOP_WORDS = {
    Language.ENGLISH: frozenset(
        [
            "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is",
            "it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there",
            "these", "they", "this", "to", "was", "will", "with",
        ]
    )
}  # fmt: skip


class Analyzer:
    """Makes terms of words. `analysis` names all that they depend on apart from the words.

    May be used by any number of threads.
    """

    def __init__(self, language: Language) -> None:
        stems = language is not Language.NONE
        self.language = language
        self.analysis = f"{language}/{Stemmer.version() if stems else '-'}/{_REVISION}"
        self._stop_words = _STOP_WORDS.get(language, frozenset())
        self._of_thread = threading.local()

    def terms_of(self, words: Sequence[str]) -> list[str]:
        """The term of each word."""
        cut = [word[:_MAX_CHARACTERS] for word in words]
        if self.language is Language.NONE:
            return cut
        terms: list[str] = self._stemmer().stemWords(cut)
        return terms

    def is_stop_word(self, word: str) -> bool:
        """Whether a word says nothing of what a text is about."""
        return word in self._stop_words

    def _stemmer(self) -> Any:
        """Of this thread: a stemmer works in memory of its own."""
        stemmer = getattr(self._of_thread, "stemmer", None)
        if stemmer is None:
            # Without its cache, which is slower than stemming.
            stemmer = self._of_thread.stemmer = Stemmer.Stemmer(str(self.language), 0)
        return stemmer


@cache
def analyzer_of(language: Language) -> Analyzer:
    return Analyzer(language)
