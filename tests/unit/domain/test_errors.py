import pickle
from collections.abc import Iterator

import pytest

from akidb_ray.domain import errors
from akidb_ray.domain.errors import AkiDBError, Corrupt, InvalidArgument, NotFound

EXAMPLES: list[AkiDBError] = [
    AkiDBError("something", one=1),
    errors.NotFound("tenant", "acme"),
    errors.AlreadyExists("tenant", "slug", "acme"),
    errors.QuotaExceeded("memory_quota_bytes", 10, 12),
    errors.InvalidState("tenant", "suspended", "writing"),
    errors.Malformed("no JSON"),
    errors.InvalidArgument("vector", "has NaN", row=3),
    errors.InvalidArgument("name", "is blank"),
    errors.Unauthenticated("no key"),
    errors.Forbidden("not yours"),
    errors.PreconditionFailed("version differs", version=4),
    errors.TooLarge("documents", 64, "bytes"),
    errors.RateLimited(1.25),
    errors.Exhausted("queue full"),
    errors.StorageFull("no room", file="wal/1.wal"),
    errors.StorageFailed("I/O error", file="wal/1.wal"),
    errors.DeadlineExceeded("too late"),
    errors.Unavailable("not now"),
    errors.Corrupt("wal/1.wal", "damaged", 12),
    errors.Corrupt("CURRENT", "damaged"),
    errors.Internal("a defect"),
]


def _kinds(kind: type[AkiDBError] = AkiDBError) -> Iterator[type[AkiDBError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _kinds(inner)


def test_every_error_has_an_example_here() -> None:
    # Other rooms may derive errors of their own; the tree of the domain is whole.
    ours = {kind for kind in _kinds() if kind.__module__ == errors.__name__}
    assert {type(error) for error in EXAMPLES} == ours


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_error_survives_pickling_with_all_it_holds(error: AkiDBError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.code, copy.retryable) == (error.code, error.retryable)
    assert copy.detail == error.detail
    assert copy.fields == error.fields
    assert str(copy) == str(error) == error.detail
    assert pickle.loads(pickle.dumps(copy)).fields == error.fields


def test_codes_are_different() -> None:
    kinds = [kind for kind in _kinds() if kind.__module__ == errors.__name__]
    codes = [kind.code for kind in kinds if kind is not AkiDBError]
    assert len(codes) == len(set(codes))


def test_invalid_argument_names_field_and_row() -> None:
    error = InvalidArgument("vector", "has NaN", row=3)
    assert error.fields == {"field": "vector", "reason": "has NaN", "row": 3}
    assert str(error) == "vector (row 3): has NaN"


def test_complaint_seen_from_outside_keeps_the_inner_row() -> None:
    error = InvalidArgument("vector", "has NaN", row=3).inside("documents.", row=9)
    assert error.fields == {"field": "documents.vector", "reason": "has NaN", "row": 3}
    assert InvalidArgument("id", "is blank").inside("documents.", row=9).fields["row"] == 9


def test_corrupt_names_file_and_offset() -> None:
    assert str(Corrupt("wal/1.wal", "damaged", 12)) == "wal/1.wal at byte 12: damaged"
    assert Corrupt("CURRENT", "damaged").fields["offset"] is None


def test_not_found_shows_an_id_as_text() -> None:
    assert NotFound("tenant", 7).fields == {"kind": "tenant", "id": "7"}
