"""Changes that are carried out on one version only: `If-Match` and `ETag`, or `if_version`."""

import re
from typing import Annotated, Any

from fastapi import Depends, Header

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.gateway.rest.context import Call

_VERSION = re.compile(r'"([1-9][0-9]{0,17})"')
_HEADER = "If-Match"

IfMatch = Annotated[
    str | None,
    Header(alias=_HEADER, description='Refuse unless it is at this version, such as "3".'),
]


def etag(version: int) -> dict[str, str]:
    """The header that tells the version of what is answered."""
    return {"etag": f'"{version}"'}


def one_condition(of_header: int | None, of_body: int | None) -> int | None:
    """The version to insist on. Raises InvalidArgument when header and body name two."""
    if of_header is None or of_body is None or of_header == of_body:
        return of_body if of_header is None else of_header
    raise InvalidArgument("if_version", f"is {of_body}, but {_HEADER} says {of_header}")


def _matched_version(if_match: IfMatch = None) -> int | None:
    return _version_in(if_match)


def _version_in(if_match: str | None) -> int | None:
    # What does not exist is answered by 404 anyway, so "*" asks for nothing more.
    if if_match is None or if_match.strip() == "*":
        return None
    version = _VERSION.fullmatch(if_match.strip())
    if version is None:
        raise InvalidArgument(_HEADER, 'must be one version in quotes, such as "3"')
    return int(version[1])


def _no_version(call: Call) -> None:
    if _version_in(call.given.get(_HEADER.lower())) is not None:
        raise InvalidArgument(_HEADER, "is not carried out here; leave it out")


ETAG: dict[str, Any] = {
    "headers": {
        "ETag": {
            "description": "The version of what is answered, for `If-Match`.",
            "schema": {"type": "string", "examples": ['"3"']},
        }
    }
}
"""What OpenAPI says of the answers that hold one thing with its version."""

MatchedVersion = Annotated[int | None, Depends(_matched_version)]
NoVersion = Depends(_no_version)
"""For routes that would have to ignore the condition: they refuse it instead."""
