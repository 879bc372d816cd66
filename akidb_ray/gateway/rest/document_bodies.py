"""Shapes of requests that write and read documents."""

import json
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, GetCoreSchemaHandler
from pydantic.config import JsonDict
from pydantic_core import CoreSchema, core_schema

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Filter
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.patch import PayloadPatch, check_patch
from akidb_ray.domain.write import Durability, UpsertMode
from akidb_ray.gateway.rest.bodies import Body, Number, WholeNumber, YesNo
from akidb_ray.gateway.rest.vectors import EncodingFormat, Vector
from akidb_ray.segment.rows import flat_of

FILTER = "In either dialect of docs/filters.md. Left out, or empty: all documents."
_FILTER_EXAMPLES = [
    {"must": [{"key": "year", "range": {"gte": 1990, "lt": 2000}}]},
    {"genres": "drama", "year": {"$gte": 1990}},
]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 bytes. A write is carried out once in 24 hours for each key: sent "
        "again, it gets its first answer, and is completed where it was done in part.",
    ),
]


def _first_bad_version(versions: Any) -> Any:
    """Of many bad versions only one is complained about."""
    if isinstance(versions, dict) and not set(map(type, versions.values())) <= {int}:
        bad = next(key for key, version in versions.items() if type(version) is not int)
        return {bad: versions[bad]}
    return versions


Versions = Annotated[dict[str, WholeNumber], BeforeValidator(_first_bad_version)]


class _IdsShape:
    """One complaint for a list, however many of its elements are no strings."""

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.list_schema(core_schema.str_schema(), fail_fast=True)


Ids = Annotated[list[str], _IdsShape()]


def filter_field(description: str = FILTER) -> Any:
    return Field(None, description=description, examples=_FILTER_EXAMPLES)


def _showing(*examples: JsonDict) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [*examples]})


class NewContents(Body):
    vector: Vector | None = None
    text: str | None = Field(
        None, description="Embedded by the collection's model without a vector."
    )
    payload: dict[str, Any] | None = Field(None, examples=[{"year": 1999, "genres": ["drama"]}])
    expires_at: Number | None = Field(
        None, description="When it expires, in seconds since 1970. Left out, or null: never."
    )


class NewDocument(NewContents):
    id: str = Field(description="1 to 512 bytes.", examples=["tt1"])


class WriteBody(Body):
    durability: Durability = Field(
        Durability.FSYNC,
        description="When the answer comes: once the write survives a power loss, or once the "
        "operating system has it.",
    )


class ConditionalBody(WriteBody):
    if_versions: Versions = Field(
        {},
        description="The version that each of these documents must have, 0 for one that must not "
        "exist; otherwise the answer is 412, and nothing is written by the shard of that document.",
        examples=[{"tt1": 7, "tt2": 0}],
    )
    only_if: dict[str, Any] | None = Field(
        None, description="A filter. Stored documents that do not pass it are skipped."
    )

    def condition(self) -> Filter:
        return parse_filter(self.only_if, "only_if")


class UpsertOptions(ConditionalBody):
    mode: UpsertMode = Field(
        UpsertMode.UPSERT,
        description="`insert` skips documents that exist, `update` those that do not.",
    )


class Upsert(UpsertOptions):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "documents": [
                        {
                            "id": "tt1",
                            "text": "A heist that goes wrong.",
                            "payload": {"year": 1999, "genres": ["drama"]},
                        }
                    ]
                },
                {"documents": [{"id": "tt2", "vector": "zczMPc3MTD4="}], "mode": "insert"},
            ]
        },
    )

    documents: Annotated[list[NewDocument], FailFast()]


class Replacement(NewContents, WriteBody):
    """The whole new document; what is left out is gone."""

    model_config = _showing({"text": "A heist that goes wrong.", "payload": {"year": 1999}})

    if_version: WholeNumber | None = Field(
        None, description="Refuse unless it is at this version; 0: unless it does not exist."
    )


# What the field of this request is called where patches are checked.
_PATCHED = {"patch": "set", "payload": "set"}


class PatchFields(WriteBody):
    """Keys are paths into the payload, as in filters. Set first, then unset."""

    set: dict[str, Any] = Field({}, examples=[{"year": 2000, "awards.oscars": 3}])
    unset: Ids = Field([], examples=[["draft"]])
    replace: YesNo = Field(False, description="The values of `set` become the whole payload.")
    expires_at: Number | None = Field(
        None, description="When it expires from now on, in seconds since 1970. null: as it was."
    )

    def patch(self) -> PayloadPatch:
        """Raises InvalidArgument, before any shard is asked."""
        patch = PayloadPatch(self.set, tuple(self.unset), self.replace, self.expires_at)
        try:
            check_patch(patch)
            flat_of(json.dumps(self.set, allow_nan=False, ensure_ascii=False).encode())
        except InvalidArgument as error:
            field = error.fields["field"].removeprefix("patch.")
            raise InvalidArgument(_PATCHED.get(field, field), error.fields["reason"]) from None
        except (ValueError, RecursionError) as error:
            raise InvalidArgument("set", f"is not JSON: {error}") from None
        return patch


class DocumentPatch(PatchFields):
    if_version: WholeNumber | None = Field(None, description="Refuse unless it is at this version.")


class Selection(Body):
    ids: Ids | None = Field(None, examples=[["tt1"]])
    filter: dict[str, Any] | None = filter_field("Exactly one of `ids` and `filter` is given.")


class DocumentsPatch(PatchFields, ConditionalBody, Selection):
    """Changes to the payloads of the given ids, or of all that pass the filter."""

    model_config = _showing(
        {"ids": ["tt1"], "set": {"year": 2000, "awards.oscars": 3}},
        {"filter": {"genres": "drama"}, "unset": ["draft"]},
    )


class Deletion(ConditionalBody, Selection):
    """By ids, or by filter."""

    model_config = _showing({"ids": ["tt1"]}, {"filter": {"year": {"$lt": 1920}}})


_MIN_VERSION = "The `version` of a write that must be seen, or several joined by commas; else 503."
_TIMEOUT = "1 to 600,000: then 503."


WITH_PAYLOAD = "false leaves out the text of the documents, too."


class ReadFields(Body):
    with_vector: YesNo = False
    encoding_format: EncodingFormat = Field(
        EncodingFormat.FLOAT, description="Of the vectors in the answer."
    )
    min_version: str | None = Field(None, description=_MIN_VERSION)
    timeout_ms: WholeNumber | None = Field(None, description=_TIMEOUT)


class Fetch(ReadFields):
    ids: Ids = Field(examples=[["tt1", "tt2"]])


class Scroll(ReadFields):
    filter: dict[str, Any] | None = filter_field()
    limit: WholeNumber = Field(100, description="1 to 10,000.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    with_payload: YesNo = Field(True, description=WITH_PAYLOAD)


class Count(Body):
    filter: dict[str, Any] | None = filter_field()
    min_version: str | None = Field(None, description=_MIN_VERSION)
    timeout_ms: WholeNumber | None = Field(None, description=_TIMEOUT)


class OneRead(BaseModel):
    """What `GET` takes in its query."""

    with_vector: bool = False
    encoding_format: EncodingFormat = EncodingFormat.FLOAT
    min_version: str | None = Field(None, description=_MIN_VERSION)
    timeout_ms: int | None = Field(None, description=_TIMEOUT)
