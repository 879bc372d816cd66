"""Errors as gRPC statuses with details: https://google.aip.dev/193.

They travel in trailing metadata, of which peers take about 8 KiB, so long texts are cut there.
"""

import json
from typing import Any

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from akidb_ray.domain.errors import AkiDBError
from akidb_ray.gateway.error_table import KINDS, RETRY_AFTER_S
from akidb_ray.gateway.rest.problems import problem_of

DOMAIN = "akidb"
_MAX_MESSAGE_BYTES = 512
_MAX_VALUE_BYTES = 256
_MAX_LIST_BYTES = 1_500
# What a problem document says beside the fields of the error; the status has its own places.
_NOT_FIELDS = frozenset({"type", "title", "status", "detail", "code"})


def status_of(error: AkiDBError, request_id: str) -> status_pb2.Status:
    """What a problem document says, with the same care for insides, which go to the log."""
    problem = problem_of(error, request_id)
    fields = {name: value for name, value in problem.items() if name not in _NOT_FIELDS}
    metadata = _metadata(fields)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=problem["code"], domain=DOMAIN, metadata=metadata)
    ]
    if "field" in metadata:
        reason = metadata.get("reason", _cut(problem["detail"], _MAX_VALUE_BYTES))
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=metadata["field"], description=reason
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retryable:
        wait = duration_pb2.Duration()
        wait.FromNanoseconds(round(fields.get("retry_after_s", RETRY_AFTER_S) * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=wait))
    return status_pb2.Status(
        code=KINDS[type(error)].grpc.value[0],
        message=_cut(problem["detail"], _MAX_MESSAGE_BYTES),
        details=[_packed(detail) for detail in details],
    )


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _metadata(fields: dict[str, Any]) -> dict[str, str]:
    """Texts as they are, other values as JSON; of a list as many as fit, and how many did not."""
    metadata = {}
    for name, value in fields.items():
        if isinstance(value, str):
            metadata[name] = _cut(value, _MAX_VALUE_BYTES)
            continue
        if isinstance(value, (list, tuple)):
            shown = _fitting(value)
            if len(shown) < len(value):
                metadata[f"{name}_left_out"] = str(len(value) - len(shown))
            value = shown
        metadata[name] = _cut(json.dumps(value, default=str), _MAX_LIST_BYTES)
    return metadata


def _fitting(values: list[Any] | tuple[Any, ...]) -> list[Any]:
    """The first of them, as far as their JSON is short enough."""
    shown: list[Any] = []
    length = len("[]")
    for value in values:
        length += len(json.dumps(value, default=str)) + len(", ")
        if length > _MAX_LIST_BYTES:
            break
        shown.append(value)
    return shown


def _cut(text: str, max_bytes: int) -> str:
    """Valid UTF-8 of so many bytes: a detail may quote what was sent, lone surrogates included."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - len("...")].decode("utf-8", "ignore") + "..."
