"""What surrounds calls: authentication, request ids, deadlines, cancellation, limits, streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_status import rpc_status

from akidb_ray.domain.errors import Unavailable
from akidb_ray.domain.ids import StoreId
from akidb_ray.gateway.grpc.document_messages import values_of
from akidb_ray.gateway.grpc.server import grpc_server
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.e2e.drivers import fields_of
from tests.in_process import Database
from tests.serving import ROOT_KEY
from tests.unit.gateway.films import make_films, put

KEY = (("authorization", f"Bearer {ROOT_KEY}"),)
COUNT = pb.CountRequest(collection="films")
ORIGIN = pb.Vector(values=[0.0] * 16)


class HeldUp:
    """Holds up calls to shards, and counts those that are given up."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.given_up = asyncio.Event()

    async def __call__(self, method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()


@pytest.fixture
async def films(database: Database) -> None:
    await make_films(database.client)
    await put(database.client, *range(1, 9))


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_both_forms_of_the_key_are_taken(
    header: str, films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    value = f"Bearer {ROOT_KEY}" if header == "authorization" else ROOT_KEY
    assert (await stub.Count(COUNT, metadata=((header, value),))).count == 8


async def test_a_stranger_is_refused_before_the_message_is_read(
    films: None, channel: grpc.aio.Channel
) -> None:
    method = channel.unary_unary("/akidb.v2.AkiDB/Count")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"\xff no message at all")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_request_id_is_given_or_kept(films: None, stub: akidb_pb2_grpc.AkiDBStub) -> None:
    for given, kept in ((None, False), ("mine-7", True), ("x" * 1000, False)):
        metadata = KEY if given is None else (*KEY, ("x-request-id", given))
        call = stub.Count(COUNT, metadata=metadata)
        await call
        shown = dict(await call.trailing_metadata())["x-request-id"]
        assert (shown == given) if kept else (len(shown) == 32)


async def test_a_cancelled_call_stops_its_work(
    database: Database, films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    held_up = database.hosts.before = HeldUp()
    call = stub.Count(COUNT, metadata=KEY)
    await held_up.entered.wait()
    call.cancel()
    await asyncio.wait_for(held_up.given_up.wait(), 10)


async def test_a_deadline_stops_the_work_and_says_so(
    database: Database, films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    for call in (stub.Count, stub.Search):
        held_up = database.hosts.before = HeldUp()
        request = COUNT
        if call is stub.Search:
            request = pb.SearchRequest(collection="films", vector=ORIGIN)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request, metadata=KEY, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(held_up.given_up.wait(), 10)


async def test_partial_results_come_before_the_deadline(
    database: Database, films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    slow = database.stores[0]
    held_up = HeldUp()

    async def hold_up_one(method: str, store_id: StoreId, items: Sequence[Any]) -> None:
        if store_id == slow:
            await held_up(method, store_id, items)

    database.hosts.before = hold_up_one
    search = pb.SearchRequest(collection="films", vector=ORIGIN, partial_results=True)
    answer = await stub.Search(search, metadata=KEY, timeout=2)
    assert answer.missing_shards
    assert answer.results


async def test_a_message_above_the_limit_is_refused_and_smaller_ones_pass(
    database: Database, films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    limit = database.services.max_body_bytes
    for size, code in ((limit + 1, grpc.StatusCode.RESOURCE_EXHAUSTED), (limit - 100, None)):
        count = pb.CountRequest(collection="films", filter='{"a": "' + "x" * (size - 50) + '"}')
        if code is None:
            assert (await stub.Count(count, metadata=KEY)).count == 0
            continue
        count.filter += "y" * 50
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Count(count, metadata=KEY)
        assert caught.value.code() is code


async def test_messages_above_four_megabytes_go_both_ways(database: Database, films: None) -> None:
    limit = 16 * 1024**2
    services = replace(database.services, max_body_bytes=limit)
    document = _document("large")
    document.payload = '{"a": "' + "x" * 5 * 1024**2 + '"}'
    upsert = pb.UpsertRequest(collection="films", documents=[document])
    options = [("grpc.max_receive_message_length", limit)]
    async with (
        grpc_server(services, "127.0.0.1:0") as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel,
    ):
        stub = akidb_pb2_grpc.AkiDBStub(channel)
        await stub.Upsert(upsert, metadata=KEY)
        answer = await stub.Get(pb.GetRequest(collection="films", ids=["large"]), metadata=KEY)
    assert answer.documents[0].payload == document.payload


async def test_a_scroll_that_is_left_early_ends_on_the_server(
    films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    scroll = stub.Scroll(pb.ScrollRequest(collection="films", limit=1), metadata=KEY)
    first = await scroll.read()
    scroll.cancel()
    assert [document.id for document in first.documents] == ["tt01"]
    rest = stub.Scroll(
        pb.ScrollRequest(collection="films", limit=3, cursor=first.next_cursor), metadata=KEY
    )
    pages = [[document.id for document in page.documents] async for page in rest]
    assert pages == [["tt02", "tt03", "tt04"], ["tt05", "tt06", "tt07"], ["tt08"]]


async def test_a_stream_of_upserts_that_breaks_says_what_is_written(
    films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    async def batches() -> AsyncIterator[pb.UpsertRequest]:
        yield pb.UpsertRequest(collection="films", documents=[_document("a"), _document("b")])
        yield pb.UpsertRequest(documents=[_document("c")])
        yield pb.UpsertRequest(documents=[_document("")])

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpsertStream(batches(), metadata=KEY)
    fields = fields_of(rpc_status.from_call(caught.value))
    assert (fields["field"], fields["message"]) == ("documents[0].id", 2)
    assert fields["acknowledged"] == 3
    assert (await stub.Count(COUNT, metadata=KEY)).count == 11


@pytest.mark.parametrize("name", ["tenant", "database", "collection"])
async def test_a_stream_of_upserts_is_of_one_collection(
    name: str, films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    address = {"tenant": "default", "database": "default", "collection": "films"}

    async def batches() -> AsyncIterator[pb.UpsertRequest]:
        yield pb.UpsertRequest(collection="films", documents=[_document("a")])
        yield pb.UpsertRequest(**address, documents=[_document("b")])
        yield pb.UpsertRequest(**{**address, name: "texts"}, documents=[_document("c")])

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpsertStream(batches(), metadata=KEY)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    fields = fields_of(rpc_status.from_call(caught.value))
    assert (fields["field"], fields["message"], fields["acknowledged"]) == (name, 2, 2)


async def test_others_have_their_turn_while_many_documents_are_read() -> None:
    large = pb.NewDocument(id="a", text="b", payload=json.dumps({"text": "c" * 10**6}))
    for documents in ([_document(str(number)) for number in range(5000)], [large] * 20):
        reading = asyncio.create_task(values_of(pb.UpsertRequest(documents=documents)))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        assert len(await reading) == len(documents)
        assert turns > 5


async def test_an_empty_stream_of_upserts_is_refused(stub: akidb_pb2_grpc.AkiDBStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UpsertStream(iter(()), metadata=KEY)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def _document(document_id: str) -> pb.NewDocument:
    return pb.NewDocument(id=document_id, vector=ORIGIN)


async def test_vectors_come_back_in_the_form_that_is_asked_for(
    films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    for form in (pb.VECTOR_FORMAT_VALUES, pb.VECTOR_FORMAT_FLOAT32):
        get = pb.GetRequest(collection="films", ids=["tt03"], with_vector=True, vector_format=form)
        (document,) = (await stub.Get(get, metadata=KEY)).documents
        assert bool(document.vector.float32) == (form == pb.VECTOR_FORMAT_FLOAT32)
        numbers = np.frombuffer(document.vector.float32, "<f4")
        assert list(document.vector.values or numbers) == [0, 0, 0, 3, *[0] * 12]


BAD_MESSAGES: list[tuple[str, Any, str]] = [
    ("Count", pb.CountRequest(), "collection"),
    ("Count", pb.CountRequest(collection="films", filter="{"), "filter"),
    ("Count", pb.CountRequest(collection="films", filter="[" * 100_000), "filter"),
    ("Count", pb.CountRequest(collection="films", filter="1"), "filter"),
    ("Patch", pb.PatchRequest(collection="films", ids=["a"], set="[]"), "set"),
    ("Get", pb.GetRequest(collection="films", ids=["a"], vector_format=7), "vector_format"),
    ("Search", pb.SearchRequest(collection="films", vector=ORIGIN, mode=7), "mode"),
    (
        "Search",
        pb.SearchRequest(collection="films", vector=ORIGIN, vector_format=7),
        "vector_format",
    ),
    ("Search", pb.SearchRequest(collection="films", vector=pb.Vector(float32=b"123")), "vector"),
    (
        "Search",
        pb.SearchRequest(collection="films", vector=pb.Vector(float32=b"1234", values=[1])),
        "vector",
    ),
    (
        "BatchSearch",
        pb.BatchSearchRequest(
            collection="films", searches=[pb.SearchRequest(collection="films", vector=ORIGIN)]
        ),
        "searches[0].collection",
    ),
    (
        "Upsert",
        pb.UpsertRequest(
            collection="films", documents=[pb.NewDocument(id="a", vector=ORIGIN, payload="{")]
        ),
        "documents[0].payload",
    ),
    (
        "Upsert",
        pb.UpsertRequest(
            collection="texts", documents=[pb.NewDocument(id="a", text="b", payload="[]")]
        ),
        "documents[0].payload",
    ),
    (
        "Upsert",
        pb.UpsertRequest(
            collection="films",
            documents=[_document("a")],
            options=pb.WriteOptions(durability=7),
        ),
        "durability",
    ),
]


async def test_what_only_messages_can_get_wrong_is_named(
    films: None, stub: akidb_pb2_grpc.AkiDBStub
) -> None:
    for method, message, field in BAD_MESSAGES:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(stub, method)(message, metadata=KEY)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, message
        assert fields_of(rpc_status.from_call(caught.value))["field"] == field, message


async def test_a_port_in_use_is_refused_by_name(database: Database) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with taken:
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        with pytest.raises(Unavailable, match=address):
            async with grpc_server(database.services, address):
                pass
