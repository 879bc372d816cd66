"""Uploads: batches, several in flight, and bad rows that lose no good ones."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from akidb_ray.cli import uploading
from akidb_ray.cli.client import ApiError
from akidb_ray.cli.retrying import Patience
from akidb_ray.cli.uploading import Sent, UploadPlan, upload
from akidb_ray.ingest.rows import BadRow, Row

AT_ONCE = Patience(first_s=0.0, longest_s=0.0)


def row(number: int, id: str | None = None, text: str = "x") -> Row:
    document_id = id or str(number)
    body = json.dumps({"id": document_id, "text": text}).encode()
    return Row("films.csv", number, document_id, body, number * 10)


class Store:
    """A server that keeps what it takes, and refuses what a test tells it to."""

    def __init__(self, refuse: Callable[[list[Any]], ApiError | None] = lambda _: None) -> None:
        self.texts: dict[str, str] = {}
        self.sizes: list[int] = []
        self._refuse = refuse
        self._lock = threading.Lock()

    def upsert(self, bodies: list[bytes]) -> int:
        documents = [json.loads(body) for body in bodies]
        with self._lock:
            self.sizes.append(len(documents))
            if error := self._refuse(documents):
                raise error
            self.texts |= {document["id"]: document["text"] for document in documents}
        return len(documents)


def refusing_rows(*ids: str, field_only: bool = False) -> Callable[[list[Any]], ApiError | None]:
    def refuse(documents: list[Any]) -> ApiError | None:
        for number, document in enumerate(documents):
            if document["id"] in ids:
                fields = {"field": f"documents[{number}].vector", "reason": "has length zero"}
                extra = {} if field_only else {"row": number}
                return ApiError(422, "invalid_argument", "whole", {**fields, **extra})
        return None

    return refuse


def run(store: Store, rows: list[Row | BadRow], **plan: Any) -> list[Sent]:
    return list(upload(store.upsert, rows, UploadPlan(patience=AT_ONCE, **plan)))


def test_all_rows_arrive_in_batches() -> None:
    store = Store()
    sent = run(store, [row(n) for n in range(10)], batch_size=4)
    assert sum(each.saved for each in sent) == 10
    assert sorted(store.sizes) == [2, 4, 4]
    assert max(each.read_bytes for each in sent) == 90


@pytest.mark.parametrize("field_only", [False, True])
def test_refused_rows_are_reported_and_the_rest_is_sent_again(field_only: bool) -> None:
    store = Store(refusing_rows("2", "5", field_only=field_only))
    sent = run(store, [row(n) for n in range(8)], batch_size=8)
    assert sorted(store.texts) == ["0", "1", "3", "4", "6", "7"]
    assert [bad for each in sent for bad in each.bad] == [
        BadRow("films.csv", 2, "vector: has length zero"),
        BadRow("films.csv", 5, "vector: has length zero"),
    ]
    assert sum(each.saved for each in sent) == 6


def test_a_batch_of_bad_rows_only_ends() -> None:
    store = Store(refusing_rows("0", "1"))
    [sent] = run(store, [row(0), row(1)])
    assert (sent.saved, len(sent.bad)) == (0, 2)


def test_rows_that_were_bad_before_come_back_unsent() -> None:
    bad = BadRow("films.csv", 2, "is not JSON")
    store = Store()
    sent = run(store, [row(1), bad, row(3)])
    assert [each for one in sent for each in one.bad] == [bad]
    assert sorted(store.texts) == ["1", "3"]


def test_an_error_that_no_row_causes_ends_the_upload() -> None:
    def refuse(documents: list[Any]) -> ApiError | None:
        return ApiError(401, "unauthenticated", "no key", {}) if documents[0]["id"] == "4" else None

    store = Store(refuse)
    with pytest.raises(ApiError, match="no key"):
        run(store, [row(n) for n in range(8)], batch_size=2, parallel=1)
    assert sorted(store.texts) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "error",
    [
        ApiError(413, "too_large", "too large", {}),
        ApiError(503, "deadline_exceeded", "too slow", {}),
    ],
)
def test_what_is_too_much_at_a_time_is_sent_in_halves(error: ApiError) -> None:
    store = Store(lambda documents: error if len(documents) > 3 else None)
    sent = run(store, [row(n) for n in range(10)], batch_size=10)
    assert sum(each.saved for each in sent) == 10
    assert len(store.texts) == 10


def test_one_row_that_is_too_large_is_a_bad_row() -> None:
    def refuse(documents: list[Any]) -> ApiError | None:
        large = any(document["id"] == "1" for document in documents)
        return ApiError(413, "too_large", "body is larger", {}) if large else None

    store = Store(refuse)
    sent = run(store, [row(n) for n in range(4)])
    assert sorted(store.texts) == ["0", "2", "3"]
    assert [bad.line for each in sent for bad in each.bad] == [1]


def test_a_busy_server_is_asked_again() -> None:
    answers = iter([ApiError(503, "exhausted", "busy", {}), None])
    store = Store(lambda _: next(answers, None))
    run(store, [row(1)])
    assert store.texts == {"1": "x"}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_of_rows_with_the_same_id_the_last_wins(batch_size: int) -> None:
    rows: list[Row | BadRow] = [row(n, id=f"film-{n % 3}", text=f"text {n}") for n in range(30)]
    store = Store()
    run(store, rows, batch_size=batch_size, parallel=8)
    assert store.texts == {f"film-{n % 3}": f"text {n}" for n in range(27, 30)}


def test_large_rows_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "MAX_BATCH_BYTES", 250)
    store = Store()
    run(store, [row(n, text="x" * 100) for n in range(5)], batch_size=100)
    assert sorted(store.sizes) == [1, 2, 2]


def test_several_requests_are_in_flight_and_reading_does_not_run_ahead() -> None:
    meeting = threading.Barrier(3)
    read: list[int] = []

    def rows() -> Iterator[Row]:
        for number in range(9):
            read.append(number)
            yield row(number)

    def upsert(bodies: list[bytes]) -> int:
        meeting.wait(timeout=30)
        return len(bodies)

    uploading_rows = upload(upsert, rows(), UploadPlan(batch_size=1, parallel=3))
    next(uploading_rows)
    assert len(read) <= 5
    assert sum(sent.saved for sent in uploading_rows) >= 6
