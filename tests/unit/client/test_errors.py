"""Problem documents become exceptions: one for each code of the server."""

import pickle

import akidb
import pytest
from akidb.errors import BY_CODE, error_of

from akidb_ray.domain.errors import AkiDBError as ServersError
from akidb_ray.gateway.error_table import HTTP_STATUS

PROBLEM = b"""{"type": "urn:akidb:error:invalid_argument", "title": "A value is wrong",
"status": 422, "detail": "documents[3].vector (row 3): must have 16 numbers", "row": 3,
"code": "invalid_argument", "field": "documents[3].vector", "request_id": "0b6e"}"""


@pytest.mark.parametrize("kind", HTTP_STATUS, ids=lambda kind: kind.code)
def test_each_code_of_the_server_has_an_exception_of_the_same_name(
    kind: type[ServersError],
) -> None:
    ours = BY_CODE[kind.code]
    assert ours.__name__ == kind.__name__
    assert getattr(akidb, ours.__name__) is ours
    # Room on a disk is made by people: who wants to try again does so.
    assert ours.passes == (kind.retryable and kind.code != "storage_full")


def test_a_problem_document_becomes_an_exception_that_says_all_of_it() -> None:
    error = error_of(422, {}, PROBLEM)
    assert isinstance(error, akidb.InvalidArgument)
    assert (error.status, error.request_id, error.retryable) == (422, "0b6e", False)
    assert error.fields == {"row": 3, "field": "documents[3].vector"}
    assert str(error).endswith("must have 16 numbers [invalid_argument, request 0b6e]")


def test_a_code_of_a_later_server_is_told_by_the_base_class() -> None:
    error = error_of(503, {"retry-after": "7"}, b'{"detail": "x", "code": "asleep"}')
    assert type(error) is akidb.AkiDBError
    assert (error.code, error.retryable, error.retry_after_s) == ("asleep", True, 7.0)


@pytest.mark.parametrize(
    ("status", "retryable"), [(500, True), (502, True), (504, True), (404, False)]
)
def test_the_page_of_a_proxy_is_no_answer_of_akidb(status: int, retryable: bool) -> None:
    error = error_of(status, {}, b"<html>no")
    assert (error.status, error.retryable) == (status, retryable)
    assert "is this its address?" in error.detail


def test_an_error_crosses_the_border_of_a_process_whole() -> None:
    error = error_of(422, {}, PROBLEM)
    error.first_row, error.written = 1000, akidb.Written(1000, versions=("a",))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is akidb.InvalidArgument
    assert (str(copy), vars(copy)) == (str(error), vars(error))
