"""Steps of scenarios carried out by REST and by gRPC, their answers in the words of REST."""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from akidb_ray.gateway.error_table import KINDS
from akidb_ray.gateway.grpc.v2 import akidb_pb2 as pb
from akidb_ray.gateway.grpc.v2 import akidb_pb2_grpc
from tests.e2e.steps import Refused, Saved, Step
from tests.serving import ROOT_KEY


class ErrorAnswer(Exception):
    """`status` is that of the protocol, `fields` what is said beside it, with `code`;
    `named_request` the id that headers or metadata name.
    """

    def __init__(self, status: Any, fields: Mapping[str, Any], named_request: str) -> None:
        super().__init__(status, fields)
        self.status = status
        self.fields = fields
        self.named_request = named_request


class Driver(Protocol):
    async def carry_out(self, step: Step, request: dict[str, Any]) -> dict[str, Any]:
        """Raises ErrorAnswer."""

    def status_of(self, refused: Refused) -> Any:
        """How the protocol shows errors of this kind."""


async def play(driver: Driver, steps: Sequence[Step]) -> None:
    """Carry out a scenario; fail where an answer is not the expected one."""
    saved: dict[str, Any] = {}
    for step in steps:
        request = _filled(step.request, saved)
        if isinstance(step.expected, Refused):
            with pytest.raises(ErrorAnswer) as caught:
                await driver.carry_out(step, request)
            assert_refused(driver, caught.value, step.expected, str(step))
            continue
        answer = await driver.carry_out(step, request)
        assert_holds(answer, step.expected, str(step))
        saved |= {name: answer[key] for name, key in step.saves.items()}


def assert_refused(driver: Driver, error: ErrorAnswer, expected: Refused, where: str) -> None:
    assert error.status == driver.status_of(expected), (where, error)
    assert_holds(error.fields, {"code": expected.kind.code, **expected.fields}, where)
    assert error.fields["request_id"] == error.named_request, where


def assert_holds(answer: Any, expected: Any, where: str) -> None:
    """Objects may hold more than is expected, lists not."""
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            assert key in answer, (where, key, answer)
            assert_holds(answer[key], value, f"{where}: {key}")
    elif isinstance(expected, list):
        assert len(answer) == len(expected), (where, answer)
        for one, value in zip(answer, expected, strict=True):
            assert_holds(one, value, where)
    elif isinstance(expected, float):
        assert answer == pytest.approx(expected, abs=1e-5), where
    else:
        assert answer == expected, where


def _filled(value: Any, saved: Mapping[str, Any]) -> Any:
    if isinstance(value, Saved):
        return saved[value.name]
    if isinstance(value, Mapping):
        return {key: _filled(each, saved) for key, each in value.items()}
    return value


class RestDriver:
    _PATHS = {
        "upsert": ("PUT", "/documents"),
        "patch": ("POST", "/documents/patch"),
        "delete": ("POST", "/documents/delete"),
        "get": ("POST", "/documents/get"),
        "count": ("POST", "/count"),
        "search": ("POST", "/search"),
        "batch_search": ("POST", "/search/batch"),
        "search_groups": ("POST", "/search/groups"),
        "facets": ("POST", "/facets"),
    }

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    def status_of(self, refused: Refused) -> int:
        return KINDS[refused.kind].http

    async def carry_out(self, step: Step, request: dict[str, Any]) -> dict[str, Any]:
        if step.operation == "upsert_stream":
            parts = [await self._send(step, "upsert", batch) for batch in request["batches"]]
            return {
                "acknowledged": sum(part["acknowledged"] for part in parts),
                "skipped": sum(part["skipped"] for part in parts),
                "version": parts[-1]["version"],
            }
        if step.operation == "scroll":
            return await self._scroll(step, request)
        if step.operation == "embed":
            return await self._embed(step, request)
        return await self._send(step, step.operation, request)

    async def _send(self, step: Step, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        method, path = self._PATHS[operation]
        tenant = step.tenant or "default"
        where = f"/v2/tenants/{tenant}/databases/default/collections/{step.collection}"
        return await self._request(step, method, where + path, body)

    async def _request(
        self, step: Step, method: str, path: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {step.key or ROOT_KEY}"}
        body = dict(body)
        if "idempotency_key" in body:
            headers["idempotency-key"] = body.pop("idempotency_key")
        response = await self._client.request(method, path, json=body, headers=headers)
        answer: dict[str, Any] = response.json()
        if response.is_error:
            raise ErrorAnswer(response.status_code, answer, response.headers["x-request-id"])
        return answer

    async def _scroll(self, step: Step, body: dict[str, Any]) -> dict[str, Any]:
        where = f"/v2/tenants/default/databases/default/collections/{step.collection}"
        documents: list[Any] = []
        cursor = body.get("cursor")
        while cursor is not None or not documents:
            asked = {**body, "cursor": cursor}
            page = await self._request(step, "POST", f"{where}/documents/scroll", asked)
            documents += page["documents"]
            cursor = page["next_cursor"]
        return {"documents": documents}

    async def _embed(self, step: Step, body: dict[str, Any]) -> dict[str, Any]:
        asked = {"model": body["model"], "input": body["texts"]}
        data = (await self._request(step, "POST", "/v1/embeddings", asked))["data"]
        return {"count": len(data), "dimension": len(data[0]["embedding"])}


class GrpcDriver:
    """Sends vectors by turns as bytes and as numbers, and reads both."""

    _METHODS = {
        "upsert": ("Upsert", pb.UpsertRequest),
        "patch": ("Patch", pb.PatchRequest),
        "delete": ("Delete", pb.DeleteRequest),
        "get": ("Get", pb.GetRequest),
        "count": ("Count", pb.CountRequest),
        "search": ("Search", pb.SearchRequest),
        "batch_search": ("BatchSearch", pb.BatchSearchRequest),
        "search_groups": ("SearchGroups", pb.SearchGroupsRequest),
        "facets": ("Facets", pb.FacetsRequest),
    }

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = akidb_pb2_grpc.AkiDBStub(channel)

    def status_of(self, refused: Refused) -> grpc.StatusCode:
        return KINDS[refused.kind].grpc

    async def carry_out(self, step: Step, request: dict[str, Any]) -> dict[str, Any]:
        metadata = (("authorization", f"Bearer {step.key or ROOT_KEY}"),)
        try:
            return await self._call(step, request, metadata)
        except grpc.aio.AioRpcError as error:
            status = rpc_status.from_call(error)
            fields = {} if status is None else fields_of(status)
            trailing = dict(error.trailing_metadata() or ())
            raise ErrorAnswer(error.code(), fields, trailing["x-request-id"]) from None

    async def _call(self, step: Step, request: dict[str, Any], metadata: Any) -> dict[str, Any]:
        where = {"collection": step.collection, "tenant": step.tenant or ""}
        if step.operation == "upsert_stream":
            stream = _stream(request["batches"], where)
            return _read(await self._stub.UpsertStream(stream, metadata=metadata))
        if step.operation == "scroll":
            asked = _message(pb.ScrollRequest, request, where)
            pages = [_read(page) async for page in self._stub.Scroll(asked, metadata=metadata)]
            return {"documents": [one for page in pages for one in page["documents"]]}
        if step.operation == "embed":
            asked = pb.EmbedRequest(**request)
            answer = await self._stub.Embed(asked, metadata=metadata)
            return {"count": len(answer.vectors), "dimension": len(answer.vectors[0].values)}
        name, kind = self._METHODS[step.operation]
        message = _message(kind, request, where)
        return _read(await getattr(self._stub, name)(message, metadata=metadata))


def fields_of(status: status_pb2.Status) -> dict[str, Any]:
    """What the details of a status say, as a problem document has it."""
    fields: dict[str, Any] = {}
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        violations = error_details_pb2.BadRequest()
        if detail.Unpack(info):
            fields |= {"code": info.reason, **{k: _value(v) for k, v in info.metadata.items()}}
        elif detail.Unpack(violations):
            (violation,) = violations.field_violations
            fields["field"] = violation.field
    return fields


def _value(text: str) -> Any:
    return int(text) if text.isdigit() else text


async def _stream(
    batches: list[dict[str, Any]], where: dict[str, str]
) -> AsyncIterator[pb.UpsertRequest]:
    for number, batch in enumerate(batches):
        yield _message(pb.UpsertRequest, batch, where if number == 0 else {})


_OPTIONS = ("durability", "idempotency_key", "if_versions", "only_if")
_AS_JSON = ("payload", "filter", "set", "only_if")


def _message(kind: Any, body: Mapping[str, Any], where: Mapping[str, str]) -> Any:
    options = {key: body[key] for key in _OPTIONS if key in body}
    rest = {key: value for key, value in body.items() if key not in _OPTIONS}
    whole = {**where, **rest, **({"options": options} if options else {})}
    return json_format.ParseDict(_as_fields(whole, kind.DESCRIPTOR.name), kind())


def _as_fields(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in body.items():
        if key in _AS_JSON:
            value = json.dumps(value, ensure_ascii=False)
        elif key == "vector" and isinstance(value, list):
            value = _vector(value)
        elif key == "mode":
            prefix = "UPSERT" if kind == "UpsertRequest" else "SEARCH"
            value = f"{prefix}_MODE_{value.upper()}"
        elif key == "method":
            value = f"FUSION_METHOD_{value.upper()}"
        elif key == "durability":
            value = f"DURABILITY_{value.upper()}"
        elif isinstance(value, Mapping) and key != "if_versions":
            value = _as_fields(value, key)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            value = [_as_fields(each, key) for each in value]
        fields[key] = value
    return fields


def _vector(numbers: list[float]) -> dict[str, Any]:
    if numbers[0] % 2:
        return {"values": numbers}
    return {"float32": base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()}


def _read(message: Any) -> dict[str, Any]:
    """As REST shows it: numbers as numbers, JSON as what it says."""
    shown: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if isinstance(value, status_pb2.Status):
            return fields_of(value)
        if isinstance(value, pb.SearchResponse):
            return _read(value)
        if isinstance(value, pb.Vector):
            shown[field.name] = list(value.values)
        elif field.is_repeated and field.type == field.TYPE_MESSAGE:
            is_map = field.message_type.GetOptions().map_entry
            shown[field.name] = dict(value) if is_map else [_read(each) for each in value]
        elif field.name in ("payload", "value"):
            shown[field.name] = json.loads(value)
        else:
            shown[field.name] = value
    return shown
