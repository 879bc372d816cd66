"""What is refused of a body or a query is told in our words, with the field and what there is."""

import inspect
import json
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import httpx
import pytest
from fastapi import params
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.gateway.rest.complaints import SENTENCES, complaint_of, reason_of_unknown
from akidb_ray.gateway.rest.contract import ROUTERS
from akidb_ray.gateway.rest.document_bodies import UpsertOptions
from akidb_ray.gateway.rest.search_bodies import SearchFields
from tests.unit.gateway.films import FILMS, ORIGIN, film

TEXTS = ["", "x", "7", "-1", "3.5", "nan", "inf", "9" * 30, "9" * 5000, "\ud800", "x" * 5000]
JUNK = [
    *(None, True, 0, -1, 2**63, 10**30, 0.5, 3.0, float("nan"), float("inf"), *TEXTS),
    *([], [None], ["x"], [1], ["\ud800"], [[1]], {}, {"a": 1}, {"\ud800": 1}, [{}], [{"a": 1}]),
]
OURS = ("vector", "unknown_field")


def sent() -> Iterator[tuple[Any, bool]]:
    """What routes make of bodies and of queries, and whether it is a query: of strings only."""
    yield from ((UpsertOptions, False), (SearchFields, False))
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for parameter in inspect.signature(route.endpoint).parameters.values():
                kind, of_query = parameter.annotation, False
                if get_origin(kind) is Annotated:
                    kind, role = get_args(kind)[:2]
                    of_query = isinstance(role, params.Query)
                    if not of_query:
                        continue
                if _models_in(kind):
                    yield kind, of_query


def _models_in(kind: Any) -> list[type[BaseModel]]:
    kinds = (kind, *get_args(kind))
    return [each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)]


def spoilt(kind: Any, junk: list[Any]) -> Iterator[Any]:
    """Each of these in the place of the value, and of each value inside of it."""
    yield from junk
    for model in _models_in(kind):
        yield {"x" * 200_000: 1}
        for name, field in model.model_fields.items():
            yield from ({name: value} for value in junk)
            for inner in _models_in(field.annotation):
                for value in spoilt(inner, junk):
                    yield {name: [value] if get_origin(field.annotation) is list else value}


def complaints() -> Iterator[tuple[ValidationError, InvalidArgument]]:
    for kind, of_query in sent():
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        values = spoilt(kind, TEXTS if of_query else JUNK)
        for value in values:
            if of_query and not isinstance(value, dict):
                continue
            try:
                adapter.validate_python(value)
            except ValidationError as error:
                yield error, complaint_of(error)


def test_no_complaint_is_in_the_words_of_pydantic() -> None:
    met, told = set(), 0
    for error, complaint in complaints():
        first = error.errors()[0]
        met.add(first["type"])
        told += 1
        assert complaint.fields["field"], first
        assert len(complaint.detail) < 2_000, complaint.detail
        assert "Input" not in complaint.detail
        if first["type"] not in OURS:
            assert complaint.fields["reason"] != first["msg"], first
    assert met == {*SENTENCES, *OURS}, "the table has each kind that is met, and no other"
    assert told > 1_000


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/search", {"vector": ORIGIN, "limit": "5"}, "limit: must be a whole number, is '5'"),
        ("/search", {"vector": ORIGIN, "explain": 1}, "explain: must be true or false, is 1"),
        ("/search", {"vector": [*ORIGIN, None]}, "vector[16]: must be a number, is None"),
        ("/search", {"text": 5}, "text: must be a string, is 5"),
        ("/search", [1], "body: must be an object, is [1]"),
        ("/search", {"vector": ORIGIN, "filter": []}, "filter: must be an object, is []"),
        ("/documents/get", {"ids": "tt1"}, "ids: must be a list, is 'tt1'"),
        ("/documents/get", {"ids": ["a", 7]}, "ids[1] (row 1): must be a string, is 7"),
        (
            "/documents",
            {"documents": [film(1)], "mode": "put"},
            "mode: must be 'upsert', 'insert' or 'update', is 'put'",
        ),
        ("/facets", {}, "key: is required"),
        ("/search", {"mode": "\ud800"}, "mode: is not valid Unicode: '\\ud800'"),
    ],
)
async def test_a_wrong_value_is_told_with_what_is_right(
    films: httpx.AsyncClient, path: str, body: Any, detail: str
) -> None:
    refused = await films.post(f"{FILMS}{path}", content=json.dumps(body))
    assert refused.status_code == 422, refused.text
    assert detail in refused.json()["detail"]


async def test_a_parameter_is_told_in_the_same_words(films: httpx.AsyncClient) -> None:
    for name, value, detail in (
        ("limit", "x", "limit: must be a whole number, is 'x'"),
        ("limit", "0", "limit: must be 1 or more, is '0'"),
        ("limit", "2000", "limit: must be 1000 at most, is '2000'"),
        ("descending", "maybe", "descending: must be true or false, is 'maybe'"),
        ("q", "x" * 2000, "q: must have 1024 characters at most"),
    ):
        refused = await films.get("/v2/tenants", params={name: value})
        assert (refused.status_code, refused.json()["detail"]) == (422, detail)


@pytest.mark.parametrize(
    ("path", "body", "field", "meant"),
    [
        ("/search", {"vector": ORIGIN, "top_k": 5}, "top_k", "limit"),
        ("/search", {"vector": ORIGIN, "limt": 5}, "limt", "limit"),
        ("/search", {"query": ORIGIN}, "query", "vector or text"),
        ("/search", {"vector": ORIGIN, "params": {"hnsw_ef": 5}}, "params.hnsw_ef", "ef"),
        ("/search", {"vector": ORIGIN, "ef": 100}, "ef", "params"),
        ("/count", {"where": {}}, "where", "filter"),
        ("/documents", {"points": [film(1)]}, "points", "documents"),
        ("/documents/delete", {"points": ["a"]}, "points", "ids"),
        ("/documents", {"documents": [{"_id": "a"}]}, "documents[0]._id", "id"),
        ("", {"name": "a", "size": 16}, "size", "dimension"),
        ("", {"name": "a", "dimension": 16, "distance": "dot"}, "distance", "metric"),
    ],
)
async def test_a_field_that_is_not_known_is_told_with_the_one_that_was_perhaps_meant(
    films: httpx.AsyncClient, path: str, body: Any, field: str, meant: str
) -> None:
    place = f"{FILMS}{path}" if path else FILMS.removesuffix("/films")
    refused = await films.post(place, json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    assert f"is not known here; did you mean {meant}? known here: " in refused.json()["reason"]


async def test_a_field_that_nothing_is_like_is_told_with_all_that_are_known(
    films: httpx.AsyncClient,
) -> None:
    refused = await films.post(f"{FILMS}/count", json={"colour": 1})
    known = "filter, min_version, timeout_ms"
    assert refused.json()["reason"] == f"is not known here; known here: {known}"


def test_the_complaint_about_a_long_name_is_short_and_found_at_once() -> None:
    reason = reason_of_unknown("limit" * 100_000, ["limit", "filter"])
    assert reason == "is not known here; known here: filter, limit"
