"""Cursors of scrolling: the id behind which the next page starts, as opaque text."""

import base64
import binascii

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import check_document_id


def scroll_cursor(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> str | None:
    """Raises InvalidArgument that names `cursor`."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        return check_document_id(base64.b64decode(padded, b"-_", validate=True).decode())
    except (ValueError, binascii.Error, InvalidArgument):
        raise InvalidArgument("cursor", "is not a cursor that a page gave") from None
