"""Keyword search as it is meant: BM25 over a dict, word by word, without any index."""

import math
from collections import Counter
from collections.abc import Mapping

from akidb_ray.domain.collection import Language
from akidb_ray.domain.words import words_of
from akidb_ray.segment.terms import analyzer_of

K1, B = 0.9, 0.4
Scored = list[tuple[float, str]]


def ranked(
    texts: Mapping[str, str | None],
    allowed: set[str],
    query: str,
    limit: int,
    language: Language = Language.ENGLISH,
) -> Scored:
    """Scores and ids of the best `limit` of the texts that are allowed, best first, ties by id."""
    analyzer = analyzer_of(language)
    documents = {id: analyzer.terms_of(words_of(text or "")) for id, text in texts.items()}
    documents = {id: terms for id, terms in documents.items() if terms}
    words = words_of(query)
    telling = [word for word in words if not analyzer.is_stop_word(word)] or words
    weights = {}
    for term, asked in Counter(analyzer.terms_of(telling)).items():
        having = sum(term in terms for terms in documents.values())
        if having:
            idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            weights[term] = asked * idf * (K1 + 1)
    mean = sum(map(len, documents.values())) / len(documents) if documents else 0.0
    pieces = query.split('"')
    quoted = [analyzer.terms_of(words_of(piece)) for piece in pieces[1:-1:2]]
    found = []
    for id in sorted(allowed & set(documents)):
        terms = documents[id]
        score = _score(terms, weights, mean)
        if score and all(_has(terms, phrase) for phrase in quoted):
            found.append((score, id))
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return found[:limit]


def _score(terms: list[str], weights: dict[str, float], mean: float) -> float:
    score = 0.0
    for term, weight in sorted(weights.items(), key=lambda pair: (-pair[1], pair[0])):
        times = terms.count(term)
        length = K1 * (1 - B) + K1 * B / mean * len(terms)
        score += times / (times + length) * weight
    return score


def _has(terms: list[str], phrase: list[str]) -> bool:
    places = range(len(terms) - len(phrase) + 1)
    return any(terms[place : place + len(phrase)] == phrase for place in places)
