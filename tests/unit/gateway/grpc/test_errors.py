"""Errors as statuses: each kind has its code and its details, insides stay inside."""

import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from akidb_ray.domain import errors
from akidb_ray.domain.errors import AkiDBError
from akidb_ray.gateway.error_table import HTTP_STATUS, KINDS, TITLES
from akidb_ray.gateway.grpc.status import status_of
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.e2e.drivers import fields_of
from tests.in_process import Database
from tests.serving import ROOT_KEY
from tests.unit.gateway.films import make_films

KEY = (("authorization", f"Bearer {ROOT_KEY}"),)
EXAMPLES: dict[type[AkiDBError], AkiDBError] = {
    type(error): error
    for error in (
        errors.Malformed("no JSON"),
        errors.Unauthenticated("no key"),
        errors.Forbidden("not yours"),
        errors.NotFound("document", "d"),
        errors.AlreadyExists("collection", "name", "c"),
        errors.InvalidState("collection", "deleting", "a search"),
        errors.PreconditionFailed("has another version", id="d", version=3),
        errors.TooLarge("ids", 10, "ids"),
        errors.InvalidArgument("documents[1].id", "is empty", 1),
        errors.QuotaExceeded("max_doc_count", 2, 2),
        errors.RateLimited(2.5),
        errors.Internal("secret"),
        errors.Corrupt("secret.wal", "torn"),
        errors.StorageFailed("no such disk"),
        errors.Exhausted("the queue is full"),
        errors.DeadlineExceeded("took too long"),
        errors.Unavailable("a host is away"),
        errors.StorageFull("no room"),
    )
}


def details_of(status: Any, kind: Any) -> list[Any]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def test_every_kind_of_error_is_in_the_table() -> None:
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AkiDBError) and kind is not AkiDBError
    }
    assert kinds == set(KINDS) == set(HTTP_STATUS) == set(TITLES) == set(EXAMPLES)


def test_the_page_shows_the_table_as_it_is() -> None:
    shown = (Path(__file__).parents[4] / "docs" / "grpc.md").read_text("utf-8")
    rows = [
        f"| `{error.code}` | {kind.http} | `{kind.grpc.name}` |" for error, kind in KINDS.items()
    ]
    assert "\n".join(rows) in shown


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_error_reaches_the_client(
    kind: type[AkiDBError], database: Database, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    await make_films(database.client)

    async def fail(*_: object) -> None:
        raise EXAMPLES[kind]

    database.hosts.before = fail
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Count(pb.CountRequest(collection="films"), metadata=KEY)
    status = rpc_status.from_call(caught.value)
    assert caught.value.code() is KINDS[kind].grpc
    (info,) = details_of(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (kind.code, "akidb")
    assert info.metadata["request_id"] == dict(caught.value.trailing_metadata())["x-request-id"]
    assert bool(details_of(status, error_details_pb2.RetryInfo)) == kind.retryable
    assert "secret" not in str(status)


@pytest.mark.parametrize("kind", [errors.Internal, errors.Corrupt])
def test_insides_go_to_the_log_only(
    kind: type[AkiDBError], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        status = status_of(EXAMPLES[kind], "request-7")
    assert b"secret" not in status.SerializeToString()
    assert "secret" in caplog.text
    assert "request-7" in caplog.text


async def test_a_defect_of_ours_says_nothing_of_itself(
    database: Database, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    await make_films(database.client)

    async def fail(*_: object) -> None:
        raise ZeroDivisionError("in the depths")

    database.hosts.before = fail
    search = pb.SearchRequest(collection="films", vector=pb.Vector(values=[0.0] * 16))
    for call in (
        stub.Count(pb.CountRequest(collection="films"), metadata=KEY),
        stub.Search(search, metadata=KEY),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "depths" not in str(caught.value)


def test_a_bad_value_is_a_violation_of_its_field() -> None:
    status = status_of(EXAMPLES[errors.InvalidArgument], "id")
    (bad,) = details_of(status, error_details_pb2.BadRequest)
    (violation,) = bad.field_violations
    assert (violation.field, violation.description) == ("documents[1].id", "is empty")
    (info,) = details_of(status, error_details_pb2.ErrorInfo)
    assert info.metadata["row"] == "1"


def test_what_may_be_tried_again_says_when() -> None:
    (retry,) = details_of(
        status_of(EXAMPLES[errors.RateLimited], "id"), error_details_pb2.RetryInfo
    )
    assert retry.retry_delay.ToTimedelta().total_seconds() == 2.5


def test_acknowledged_ids_are_told_as_far_as_metadata_can_hold_them() -> None:
    error = errors.Unavailable("a host is away")
    error.fields["acknowledged_ids"] = [f"document-{number:06}" for number in range(10_000)]
    status = status_of(error, "id")
    fields = fields_of(status)
    assert fields["acknowledged_ids"].startswith('["document-000000", "document-000001"')
    shown = fields["acknowledged_ids"].count("document-")
    assert shown + fields["acknowledged_ids_left_out"] == 10_000
    assert status.ByteSize() < 4096


def test_no_text_is_too_long_or_no_unicode() -> None:
    status = status_of(errors.InvalidArgument("\ud800" * 5_000, "é" * 5_000), "id")
    assert status.ByteSize() < 4096
    assert fields_of(status)["field"].startswith("\\ud800")
    assert details_of(status, error_details_pb2.BadRequest)[0].field_violations[0].description


async def test_a_write_in_part_names_what_is_acknowledged(
    database: Database, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    await make_films(database.client)
    database.hosts.down.add(database.stores[0])
    documents = [
        pb.NewDocument(id=f"d{number}", vector=pb.Vector(values=[float(number)] * 16))
        for number in range(20)
    ]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Upsert(
            pb.UpsertRequest(collection="films", documents=documents, mode=pb.UPSERT_MODE_UPDATE),
            metadata=KEY,
        )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    fields = fields_of(rpc_status.from_call(caught.value))
    assert 0 < fields["acknowledged_ids"].count('"d') < 20
