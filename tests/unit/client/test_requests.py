"""Arguments become requests, answers become values."""

from typing import Any

import numpy as np
import pytest
from akidb import (
    BatchLimits,
    InvalidArgument,
    Results,
    UnexpectedAnswer,
    WriteOptions,
    Written,
)
from akidb.collection_flows import CollectionFlows
from akidb.control_operations import collections_path
from akidb.document_operations import Reading, Target
from akidb.requests import path_of
from akidb.search_operations import search_body
from akidb.vectors import encode_vector

from tests.unit.client.driving import Script, answer, bodies, raised_by

HIT = {"id": "a", "score": 0.5, "version": 3, "payload": {"x": 1}}


def flows(script: Script) -> CollectionFlows:
    return CollectionFlows("/films", script.calls(), BatchLimits(documents=2))


def test_a_search_is_sent_as_it_was_asked_for() -> None:
    body = search_body(
        {"vector": [1, 2], "ef": 100, "exact": False, "with_vector": True, "filter": {"a": 1}}
    )
    assert body == {
        "vector": encode_vector([1, 2]),
        "params": {"ef": 100, "exact": False},
        "with_vector": True,
        "encoding_format": "base64",
        "filter": {"a": 1},
    }
    assert search_body({"text": "x", "limit": None}) == {"text": "x"}  # type: ignore[typeddict-item]


def test_an_argument_that_there_is_not_is_refused_by_its_name() -> None:
    for name, meant in (
        ("top_k", "limit"),
        ("where", "filter"),
        ("query", "vector or text"),
        ("with_vectors", "with_vector"),
    ):
        hint = rf"a search has no {name}; did you mean {meant}\? it has ef, exact, .*with_vector$"
        with pytest.raises(TypeError, match=hint):
            search_body({"text": "x", name: 5})  # type: ignore[misc]
    with pytest.raises(TypeError, match="a search has no colour; it has ef, "):
        search_body({"colour": "red"})  # type: ignore[typeddict-unknown-key]


def test_results_are_a_sequence_of_hits() -> None:
    found = {"results": [HIT, {**HIT, "id": "b"}], "took_ms": 1.5, "missing_shards": [1]}
    script = Script([answer(found)])
    results = script.run(flows(script).search({"text": "x"}))
    assert (len(results), results.ids, results.scores) == (2, ["a", "b"], [0.5, 0.5])
    assert [hit.id for hit in results] == [hit.id for hit in results[:2]]
    assert (results[0].payload, results[0].version, results[0].vector) == ({"x": 1}, 3, None)
    assert (results.took_ms, results.missing_shards, results.explanation) == (1.5, (1,), None)


def test_a_batch_of_searches_answers_results_and_errors_in_their_order() -> None:
    wrong = {"status": 422, "code": "invalid_argument", "detail": "limit: is 0", "field": "limit"}
    script = Script([answer({"results": [{"results": [HIT]}, wrong], "took_ms": 1})])
    first, second = script.run(flows(script).search_batch([{"text": "x"}, {"limit": 0}]))
    assert isinstance(first, Results)
    assert first.ids == ["a"]
    assert isinstance(second, InvalidArgument)
    assert second.fields == {"field": "limit"}
    assert bodies(script.requests) == [{"searches": [{"text": "x"}, {"limit": 0}]}]


def test_every_read_says_what_it_must_have_seen_and_how_long_it_may_take() -> None:
    reply = answer({"documents": [{"id": "a"}], "next_cursor": None, "count": 1, "facets": []})
    reading = Reading("v", 50)
    script = Script([reply] * 5)
    of = flows(script)
    script.run(of.get("a", False, reading))
    script.run(of.get_many(["a"], False, reading))
    script.run(of.scroll_page(None, 10, True, False, reading, None))
    script.run(of.count(None, reading))
    script.run(of.facets("year", 5, None, reading))
    for body in bodies(script.requests):
        assert (body["min_version"], body["timeout_ms"]) == ("v", 50)
    script = Script([reply])
    script.run(flows(script).count(None, Reading()))
    assert bodies(script.requests) == [{}]


def test_what_asks_for_nothing_sends_nothing() -> None:
    script = Script([])
    of = flows(script)
    assert script.run(of.search_batch([])) == []
    assert script.run(of.get_many([], False, Reading())) == []
    assert script.run(of.delete(Target([], None), None, {})) == Written()
    assert script.requests == []


def test_many_ids_are_asked_for_in_several_requests_and_answered_in_their_order() -> None:
    pages = [{"documents": [{"id": "b"}]}, {"documents": [{"id": "c", "text": "x"}]}]
    script = Script([answer(page) for page in pages])
    documents = script.run(flows(script).get_many(["a", "b", "c"], False, Reading()))
    assert [document and document.id for document in documents] == [None, "b", "c"]
    assert [body["ids"] for body in bodies(script.requests)] == [["a", "b"], ["c"]]


@pytest.mark.parametrize("kind", [list, tuple, dict.fromkeys, iter, np.array])
def test_ids_may_be_in_anything_that_goes_through_them(kind: Any) -> None:
    script = Script([answer({"documents": [{"id": "c"}]})] * 2)
    found = script.run(flows(script).get_many(kind(["a", "b", "c"]), False, Reading()))
    assert [document and document.id for document in found] == [None, None, "c"]
    script.outcomes += [answer({"deleted": 1, "version": "v"})] * 2
    options: WriteOptions = {"if_versions": {"c": 1}}
    script.run(flows(script).delete(Target(kind(["a", "b", "c"]), None), None, options))
    assert [body["ids"] for body in bodies(script.requests)] == [["a", "b"], ["c"]] * 2


def test_one_search_is_not_taken_for_many() -> None:
    script = Script([])
    one: Any = {"text": "x"}
    error = raised_by(lambda: script.run(flows(script).search_batch(one)), TypeError)
    assert "not one search" in str(error)
    assert raised_by(lambda: script.run(flows(script).get_many("a", False, Reading())), TypeError)


@pytest.mark.parametrize("target", [Target(None, None), Target(["a"], {}), Target("abc", None)])
def test_a_deletion_needs_ids_or_a_filter(target: Target) -> None:
    script = Script([])
    raised_by(lambda: script.run(flows(script).delete(target, None, {})), TypeError)


@pytest.mark.parametrize("content", [{"count": "many"}, {}, [], None, 3])
def test_an_answer_of_another_shape_is_no_answer_of_akidb(content: Any) -> None:
    script = Script([answer(content)])
    error = raised_by(lambda: script.run(flows(script).count(None, Reading())))
    assert isinstance(error, UnexpectedAnswer)
    assert "POST /films/count" in error.detail


def test_paths_keep_any_character_of_a_name() -> None:
    assert path_of("a/b", "..", "ü %", "x.y") == "/a%2Fb/%2E%2E/%C3%BC%20%25/x.y"


def test_collections_of_the_keys_tenant_have_the_short_path() -> None:
    assert collections_path(None, None) == "/v1/collections"
    assert collections_path("acme", None) == "/v2/tenants/acme/databases/default/collections"
    assert collections_path(None, "main") == "/v2/tenants/default/databases/main/collections"
