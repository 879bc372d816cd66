from datetime import UTC, datetime

import pytest

from akidb_ray.domain.dates import parse_date


def _microseconds(*parts: int) -> int:
    since = datetime(*parts, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1970-01-01", (1970, 1, 1)),
        ("2020-01-31", (2020, 1, 31)),
        ("2020-02-29", (2020, 2, 29)),
        ("2020-01-31T12:34", (2020, 1, 31, 12, 34)),
        ("2020-01-31T12:34:56", (2020, 1, 31, 12, 34, 56)),
        ("2020-01-31T12:34:56Z", (2020, 1, 31, 12, 34, 56)),
        ("2020-01-31t12:34:56z", (2020, 1, 31, 12, 34, 56)),
        ("2020-01-31 12:34:56", (2020, 1, 31, 12, 34, 56)),
        ("2020-01-31T12:34:56.5Z", (2020, 1, 31, 12, 34, 56, 500_000)),
        ("2020-01-31T12:34:56.123456789Z", (2020, 1, 31, 12, 34, 56, 123_456)),
        ("2020-01-31T01:00:00+05:30", (2020, 1, 30, 19, 30)),
        ("2020-12-31T23:00:00-02:00", (2021, 1, 1, 1)),
        ("1969-12-31T23:59:59.999999Z", (1969, 12, 31, 23, 59, 59, 999_999)),
        ("0001-01-01", (1, 1, 1)),
        ("9999-12-31T23:59:59.999999Z", (9999, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_date_is_microseconds_since_1970(text: str, parts: tuple[int, ...]) -> None:
    assert parse_date(text) == _microseconds(*parts)


def test_offset_may_lead_out_of_the_calendar() -> None:
    hour = 3_600_000_000
    assert parse_date("0001-01-01T00:00:00+01:00") == _microseconds(1, 1, 1) - hour
    assert parse_date("9999-12-31T23:00:00-02:00") == _microseconds(9999, 12, 31, 23) + 2 * hour


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2020",
        "2020-01",
        "20200131",
        "20200131T120000",
        "2020-W05-5",
        "2020-031",
        "2020-1-31",
        "0000-01-01",
        "2021-02-29",
        "2020-13-01",
        "2020-01-31T",
        "2020-01-31T12",
        "2020-01-31T24:00",
        "2020-01-31T12:60",
        "2020-01-31T12:34:60",
        "2020-01-31T12:34:56.",
        "2020-01-31T12:34:56,5",
        "2020-01-31x12:34",
        "2020-01-31Z",
        "2020-01-31T12:34+1",
        "2020-01-31T12:34+0100",
        "2020-01-31T12:34+24:00",
        "2020-01-31T12:34 Z",
        " 2020-01-31",
        "2020-01-31\n",
        "２０２０-01-31",  # digits to Python's str
        "2020-01-31\0",
        "\ud800",
        "-020-01-31",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_date(text) is None


def test_long_fraction_is_cut_off() -> None:
    assert parse_date(f"1970-01-01T00:00:00.{'1' * 10_000}") == 111_111
