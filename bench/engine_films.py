"""The films of shared/data/wiki_movies: their payloads and texts, and real filters on them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from akidb_ray.domain.filter import EVERYTHING, Filter, Match, Range
from bench.engine_indexes import Rows
from bench.engine_measuring import K, Mask, Truth
from bench.vectors import Floats

# "Against the query" means at least so many years away, and not of its genre.
_FAR_YEARS = 30
FilterOfQuery = tuple[str, Sequence[Filter], Sequence[Mask], Truth]


@dataclass(frozen=True)
class Film:
    id: int
    title: str
    year: int
    decade: int
    genres: list[str]
    extract: str

    @property
    def text(self) -> str:
        return f"{self.title} {self.extract}"

    @property
    def payload(self) -> bytes:
        values = {"year": self.year, "decade": self.decade, "genres": self.genres}
        return json.dumps(values).encode()


def all_films(data: Path) -> list[Film]:
    columns = ["id", "title", "year", "decade", "genres", "extract"]
    table = parquet.read_table(data / "wiki_movies" / "movies.parquet", columns=columns)
    return [Film(**{**row, "extract": row["extract"] or ""}) for row in table.to_pylist()]


def embedded_films(data: Path) -> list[Film]:
    """Those with a vector, in the order of the vectors."""
    by_id = {film.id: film for film in all_films(data)}
    return [by_id[number] for number in _ids(data)["base_ids"]]


def queried_films(data: Path) -> list[Film]:
    """Those whose vectors are the queries."""
    by_id = {film.id: film for film in all_films(data)}
    return [by_id[number] for number in _ids(data)["query_ids"]]


def film_rows(data: Path, base: Floats) -> Rows:
    films = embedded_films(data)
    assert len(films) == len(base)
    return Rows(base, [film.payload for film in films], [film.text for film in films])


def _ids(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "wiki_movies" / "minilm_ids.json").read_text())
    return found


@dataclass(frozen=True)
class _Asked:
    """Of the film that a query is made of; without a genre there is no filter by one."""

    decade: int
    genre: str | None
    year: int

    @property
    def of_genre(self) -> tuple[Match, ...]:
        return () if self.genre is None else (Match("genres", (self.genre,)),)

    def filter(self, case: str) -> Filter:
        if case == "decade":
            return Filter(must=(Match("decade", (self.decade,)),))
        if case == "genre":
            return Filter(must=self.of_genre) if self.genre else EVERYTHING
        if case == "anti":
            near = Range("year", gte=self.year - _FAR_YEARS, lte=self.year + _FAR_YEARS)
            return Filter(must_not=(*self.of_genre, near))
        return Filter(must=(Match("year", (self.year,)), *self.of_genre))


class _Masks:
    """The same filters, by numpy."""

    def __init__(self, films: Sequence[Film]) -> None:
        self._years = np.array([film.year for film in films])
        self._decades = np.array([film.decade for film in films])
        genres = {genre for film in films for genre in film.genres}
        self._genres = {
            genre: np.array([genre in film.genres for film in films]) for genre in genres
        }
        self._every = np.ones(len(films), np.bool_)

    def mask(self, case: str, asked: _Asked) -> Mask:
        genre = self._genres[asked.genre] if asked.genre else self._every
        if case == "decade":
            return self._decades == asked.decade
        if case == "genre":
            return genre
        if case == "anti":
            far = np.abs(self._years - asked.year) > _FAR_YEARS
            return far & ~genre if asked.genre else far
        return genre & (self._years == asked.year)


def film_cases(data: Path, base: Floats, queries: Floats) -> Iterator[FilterOfQuery]:
    """Name, filters, masks and exact answers; these are given with the films."""
    masks = _Masks(embedded_films(data))
    asked = [_Asked(**one) for one in _ids(data)["query_filters"][: len(queries)]]
    given = np.load(data / "wiki_movies" / "minilm_exact_neighbours.npz")
    for case in ("decade", "genre", "anti", "rare"):
        allowed = [masks.mask(case, one) for one in asked]
        truth = _truth(base, queries, given[case][: len(queries), :K])
        for mask, rows in zip(allowed, given[case], strict=False):
            assert mask[rows[rows >= 0]].all(), f"{case} means something else there"
        yield case, [one.filter(case) for one in asked], allowed, truth


def _truth(base: Floats, queries: Floats, nearest: np.ndarray) -> Truth:
    wanted = np.count_nonzero(nearest >= 0, axis=1)
    last = nearest[np.arange(len(nearest)), np.maximum(wanted, 1) - 1]
    borders = np.einsum("ij,ij->i", base[last], queries)
    return Truth(base, queries, borders.astype(np.float32), wanted.astype(np.int64))
