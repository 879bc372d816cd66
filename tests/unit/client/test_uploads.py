"""How documents are made requests, and what comes of several of them."""

import datetime
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from akidb import BatchLimits, Document, Written
from akidb.collection_flows import CollectionFlows
from akidb.document_operations import Reading, Target, batches, encoded_documents
from akidb.vectors import encode_vector

from tests.unit.client.driving import Script, answer, bodies, problem, raised_by


def flows(script: Script, documents: int = 2, size_bytes: int = 10_000) -> CollectionFlows:
    return CollectionFlows("/films", script.calls(), BatchLimits(documents, size_bytes))


def upsert(of: CollectionFlows, key: str | None = None, **given: Any) -> Any:
    options = {name: given.pop(name) for name in ("if_versions", "mode") if name in given}
    columns = {"ids": None, "vectors": None, "texts": None, "payloads": None, **given}
    return of.upsert(
        columns.pop("documents", None), **columns, idempotency_key=key, options=options
    )


def done(count: int, version: str = "v") -> Any:
    return answer({"acknowledged": count, "skipped": 0, "version": version})


def test_columns_become_documents_row_by_row() -> None:
    script = Script([done(2)])
    vectors = np.arange(4.0).reshape(2, 2)
    payloads = [{"n": np.int64(3), "at": datetime.date(2026, 1, 31), "list": np.arange(2)}, None]
    script.run(upsert(flows(script), ids=["a", "b"], vectors=vectors, payloads=payloads))
    assert bodies(script.requests) == [
        {
            "documents": [
                {
                    "id": "a",
                    "vector": encode_vector([0, 1]),
                    "payload": {"n": 3, "at": "2026-01-31", "list": [0, 1]},
                },
                {"id": "b", "vector": encode_vector([2, 3])},
            ]
        }
    ]


def test_documents_are_taken_as_values_and_as_mappings() -> None:
    script = Script([done(2)])
    documents = [Document("a", text="ü", payload={"x": 1}, expires_at=5.0), {"id": "b"}]
    script.run(upsert(flows(script), documents=documents))
    assert bodies(script.requests)[0]["documents"] == [
        {"id": "a", "text": "ü", "payload": {"x": 1}, "expires_at": 5.0},
        {"id": "b"},
    ]


def test_batches_keep_to_both_limits_and_to_the_order() -> None:
    encoded = [(str(row), b"x" * size) for row, size in enumerate([10, 10, 10, 90, 200, 1])]
    made = list(batches(iter(encoded), BatchLimits(documents=2, size_bytes=100)))
    assert [list(batch.ids) for batch in made] == [["0", "1"], ["2"], ["3"], ["4"], ["5"]]
    assert [batch.first_row for batch in made] == [0, 2, 3, 4, 5]
    assert list(batches(iter(()), BatchLimits())) == []


def test_what_all_batches_did_is_added_up() -> None:
    script = Script([done(2, "v1"), done(1, "v2")])
    written = script.run(upsert(flows(script), ids=["a", "b", "c"], texts=["x", "y", "z"]))
    assert written == Written(3, versions=("v1", "v2"))
    assert written.version == "v1,v2"


def test_the_version_of_several_writes_has_those_of_all_or_the_last_ones() -> None:
    assert Written().version is None
    assert (Written(1, versions=("a", "b")) + Written(1, versions=("a", "c"))).version == "b,a,c"
    many = Written(100, versions=tuple(map(str, range(100))))
    assert many.version == ",".join(map(str, range(36, 100)))


def test_each_batch_has_a_key_of_its_own_and_keeps_it_when_it_is_sent_again() -> None:
    script = Script([done(2), problem(503, "unavailable"), done(1)])
    script.run(upsert(flows(script), ids=["a", "b", "c"], texts=["x", "y", "z"]))
    keys = [request.headers["idempotency-key"] for request in script.requests]
    assert keys[1] == keys[2] != keys[0]
    again = Script([done(2), done(1)])
    again.run(upsert(flows(again), "import-7", ids=["a", "b", "c"], texts=["x", "y", "z"]))
    assert [r.headers["idempotency-key"] for r in again.requests] == ["import-7", "import-7-2"]


def test_a_failure_says_what_the_batches_before_it_did() -> None:
    script = Script([done(2, "v1"), problem(422, "invalid_argument", row=0)])
    call = upsert(flows(script), ids=["a", "b", "c"], texts=["x", "y", "z"])
    error = raised_by(lambda: script.run(call))
    assert (error.first_row, error.fields["row"]) == (2, 2)
    assert error.written == Written(2, versions=("v1",))


def test_conditions_go_with_the_batch_that_holds_their_document() -> None:
    script = Script([done(2), done(1)])
    call = upsert(
        flows(script), ids=["a", "b", "c"], texts=["x"] * 3, if_versions={"c": 7}, mode="update"
    )
    script.run(call)
    sent = bodies(script.requests)
    assert [(body["if_versions"], body["mode"]) for body in sent] == [
        ({}, "update"),
        ({"c": 7}, "update"),
    ]


def write(of: CollectionFlows, verb: str, target: Target, key: str | None = None) -> Any:
    if verb == "delete":
        return of.delete(target, key, {"if_versions": VERSIONS})
    return of.patch(target, {"set": {"n": 1}}, key, {"if_versions": VERSIONS})


VERSIONS = {"a": 3, "c": 7}


@pytest.mark.parametrize(("verb", "affected"), [("patch", "patched"), ("delete", "deleted")])
def test_conditions_of_a_patch_or_deletion_go_with_their_part(verb: str, affected: str) -> None:
    reply = answer({affected: 1, "version": "v"})
    script = Script([reply, reply])
    script.run(write(flows(script), verb, Target(["a", "b", "c"], None)))
    sent = [(body["ids"], body["if_versions"]) for body in bodies(script.requests)]
    assert sent == [(["a", "b"], {"a": 3}), (["c"], {"c": 7})]
    by_filter = Script([reply])
    by_filter.run(write(flows(by_filter), verb, Target(None, {"n": 1})))
    assert bodies(by_filter.requests)[0]["if_versions"] == VERSIONS, "for the server to refuse"


@pytest.mark.parametrize("verb", ["upsert", "patch", "delete"])
def test_a_condition_on_no_document_is_refused_before_anything_is_sent(verb: str) -> None:
    script = Script([])

    def call() -> Any:
        if verb == "upsert":
            streamed = ({"id": each} for each in "abd")
            return upsert(flows(script), documents=streamed, if_versions=VERSIONS)
        return write(flows(script), verb, Target(["a", "b", "d"], None))

    error = raised_by(lambda: script.run(call()), ValueError)
    assert "if_versions: 'c' is the id of no document" in str(error)
    assert script.requests == []


@pytest.mark.parametrize("verb", ["upsert", "patch", "delete"])
def test_a_key_too_long_for_the_parts_is_refused_before_anything_is_sent(verb: str) -> None:
    script = Script([])

    def call(key: str) -> Any:
        if verb == "upsert":
            return upsert(flows(script), key, ids=["a", "b", "c"])
        return write(flows(script), verb, Target(["a", "b", "c"], None), key)

    error = raised_by(lambda: script.run(call("é" * 118)), ValueError)
    assert "idempotency_key may have 235 bytes at most" in str(error)
    assert script.requests == []
    longest = Script([done(2), done(1)])
    longest.run(upsert(flows(longest), "x" * 235, ids=["a", "b", "c"]))
    assert max(len(r.headers["idempotency-key"]) for r in longest.requests) <= 255


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"ids": ["a", "b"], "texts": ["x"]}, "differ in length: text ends at row 1"),
        ({"ids": ["a"], "texts": ["x", "y"]}, "differ in length: id ends at row 1"),
        ({"ids": ["a", 3]}, "row 1: id must be a string"),
        ({"ids": ["a"], "vectors": [["x"]]}, "row 0: "),
        ({"ids": ["a"], "payloads": [{"x": float("nan")}]}, "row 0: Out of range"),
        ({"ids": ["a"], "payloads": [{"x": object()}]}, "row 0: object can't be said in JSON"),
        ({"texts": ["x"]}, "give documents, or ids"),
        ({"documents": [], "ids": ["a"]}, "not both"),
    ],
)
def test_what_is_no_document_is_refused_with_its_row(
    columns: dict[str, Any], complaint: str
) -> None:
    script = Script([])
    error = raised_by(lambda: script.run(upsert(flows(script), **columns)), Exception)
    assert isinstance(error, (TypeError, ValueError))
    assert complaint in str(error)


def test_halves_of_surrogate_pairs_are_refused_with_their_row() -> None:
    with pytest.raises(ValueError, match=r"row 0: .*surrogates"):
        list(encoded_documents([{"id": "\ud800"}], None, None, None, None))


@pytest.mark.parametrize(
    "given",
    [
        {"ids": "ab", "texts": ["x", "y"]},
        {"ids": ["a", "b"], "texts": "xy"},
        {"ids": ["a"], "payloads": {"year": 2000}},
        {"documents": {"id": "a", "text": "x"}},
        {"documents": Document("a", text="x")},
    ],
)
def test_one_text_or_document_is_not_taken_for_many(given: dict[str, Any]) -> None:
    script = Script([])
    with pytest.raises(TypeError, match="not one"):
        script.run(upsert(flows(script), **given))
    assert script.requests == []


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ({"documents": ["text"]}, "row 0: a document is a Document or a mapping, not str"),
        ({"ids": ["a"], "vectors": [0.5]}, "row 0: a vector is a sequence of numbers: 'float'"),
        ({"ids": ["a"], "vectors": ["x"]}, "row 0: a vector is a sequence of numbers: cannot"),
    ],
)
def test_what_is_taken_for_a_document_or_vector_is_told(column: dict[str, Any], fault: str) -> None:
    error = raised_by(lambda: Script([]).run(upsert(flows(Script([])), **column)), TypeError)
    assert fault in str(error)


REFUSED_ROW = problem(
    422,
    "invalid_argument",
    field="documents[1].vector[3]",
    row=1,
    reason="must be a number",
    detail="documents[1].vector[3] (row 1): must be a number",
)


def test_a_refused_row_is_that_of_the_call_wherever_the_error_names_it() -> None:
    script = Script([done(2), REFUSED_ROW])
    error = raised_by(lambda: script.run(upsert(flows(script), ids=list("abcd"))))
    assert error.fields == {
        "field": "documents[3].vector[3]",
        "row": 3,
        "reason": "must be a number",
    }
    assert error.detail == "documents[3].vector[3] (row 3): must be a number"
    assert str(error).startswith(error.detail)
    assert (error.first_row, error.written.affected) == (2, 2)


def test_a_refused_id_is_that_of_the_call() -> None:
    refused = problem(
        422, "invalid_argument", field="ids[0]", row=0, detail="ids[0] (row 0): is empty"
    )
    first: Any = {"acknowledged": 2, "deleted": 2, "patched": 2, "version": "v", "documents": []}
    ids = ["a", "b", ""]
    calls: list[Callable[[CollectionFlows], Any]] = [
        lambda of: of.delete(Target(ids, None), None, {}),
        lambda of: of.patch(Target(ids, None), {"unset": ["x"]}, None, {}),
        lambda of: of.get_many(ids, False, Reading()),
    ]
    for call in calls:
        script = Script([answer(first), refused])
        error = raised_by(partial(script.run, call(flows(script))))
        assert (error.fields["field"], error.fields["row"]) == ("ids[2]", 2)
        assert error.detail == "ids[2] (row 2): is empty"


def test_an_error_that_is_about_no_row_stays_as_it_is() -> None:
    refused = problem(422, "invalid_argument", field="if_versions.b", detail="if_versions.b: old")
    script = Script([done(2), refused])
    error = raised_by(lambda: script.run(upsert(flows(script), ids=list("abc"))))
    assert (error.fields, error.detail) == ({"field": "if_versions.b"}, "if_versions.b: old")
    assert error.first_row == 2


def test_options_that_there_are_not_are_refused_before_anything_is_sent() -> None:
    script = Script([])
    of, target = flows(script), Target(["a"], None)
    wrong: Any = {"embeddings": [[1.0]]}
    misspelt: Any = {"mdoe": "insert"}
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: of.upsert(None, ["a"], None, None, None, None, wrong),
         "an upsert has no embeddings; did you mean vectors? it has documents, durability,"),
        (lambda: of.upsert(None, ["a"], None, None, None, None, misspelt),
         "an upsert has no mdoe; did you mean mode?"),
        (lambda: of.patch(target, {"year": 2000}, None, {}),  # type: ignore[typeddict-unknown-key]
         "a patch has no year; it has expires_at, replace, set, unset"),
        (lambda: of.delete(target, None, misspelt),
         "this write has no mdoe; it has durability, filter, idempotency_key, ids"),
    ]  # fmt: skip
    for call, fault in calls:
        assert fault in str(raised_by(call, TypeError))
    assert script.requests == []
