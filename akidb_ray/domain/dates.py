"""Dates in payloads: strings of ISO 8601, as RFC 3339 has them."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# fromisoformat takes much more: digits without dashes, weeks, any letter before the time.
_MINUTE = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_MINUTE}(?::[0-5]\d(?:\.\d+)?)?(?:Z|[+-]{_MINUTE})?"
_DATE = re.compile(rf"\d{{4}}-\d\d-\d\d(?:[T ]{_TIME})?", re.ASCII | re.IGNORECASE)


def parse_date(text: str) -> int | None:
    """Whole microseconds since 1970, UTC, of a date (midnight) or a date with a time; None when the
    text is neither.

    A time without an offset is one of UTC. What is finer than microseconds is cut off.
    """
    if _DATE.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:  # no such day
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND
