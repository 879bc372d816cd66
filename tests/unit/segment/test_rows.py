import math
import random

import numpy as np
import pyarrow as pa
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import NEVER, DocumentBatch
from akidb_ray.domain.errors import InvalidArgument, TooLarge
from akidb_ray.domain.ids import document_hash
from akidb_ray.segment.arrow_batches import encode_stream
from akidb_ray.segment.rows import (
    FRAMING_BYTES,
    Rows,
    decode_rows,
    encode_rows,
    hashes_of,
    rows_of,
    size_of,
    split_rows,
)
from tests.unit.segment.rows_of_documents import rows_with


def _encoded(rows: Rows) -> bytes:
    return b"".join(encode_rows(rows))


def _batch(ids: list[str], vectors: np.ndarray, payload: bytes | None = None) -> DocumentBatch:
    return DocumentBatch(
        ids, vectors, [f"text of {i}" for i in range(len(ids))], [payload] * len(ids)
    )


def test_last_of_equal_ids_wins_and_order_stays() -> None:
    vectors = np.arange(5 * 16, dtype=np.float32).reshape(5, 16)
    rows = rows_of(_batch(["a", "b", "a", "c", "b"], vectors), Metric.L2)
    assert list(rows.ids) == ["a", "c", "b"]
    assert rows.texts == ["text of 2", "text of 3", "text of 4"]
    np.testing.assert_array_equal(rows.vectors, vectors[2:])


@pytest.mark.parametrize("magnitude", [1e-22, 1e-18, 1.0, 1e15, 1e18])
def test_cosine_vector_has_unit_length_and_comes_back(magnitude: float) -> None:
    vectors = np.random.default_rng(0).uniform(0.5, 1.5, (20, 16)).astype(np.float32)
    vectors *= np.float32(magnitude)
    rows = rows_of(_batch([str(i) for i in range(20)], vectors), Metric.COSINE)
    lengths = np.linalg.norm(rows.vectors.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)
    np.testing.assert_allclose(rows.vectors * rows.lengths[:, None], vectors, rtol=5e-7)
    assert rows.vectors.dtype == rows.lengths.dtype == np.float32


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.L2])
def test_other_vectors_stay_as_they_are(metric: Metric) -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    rows = rows_of(_batch(["a", "b", "c"], vectors), metric)
    np.testing.assert_array_equal(rows.vectors, vectors)
    np.testing.assert_array_equal(rows.lengths, 1.0)


@pytest.mark.parametrize("count", [0, 1, 50])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_rows_come_back_from_the_log_wherever_they_lie_in_it(count: int, shift: int) -> None:
    rows = rows_with([{"n": number, "s": "日本"} for number in range(count)])
    encoded = bytes(shift) + _encoded(rows)
    copy = decode_rows(memoryview(encoded)[shift:])
    assert (list(copy.ids), copy.texts, copy.payloads) == (
        list(rows.ids), list(rows.texts), list(rows.payloads),
    )  # fmt: skip
    np.testing.assert_array_equal(copy.vectors, rows.vectors)
    np.testing.assert_array_equal(copy.lengths, rows.lengths)
    np.testing.assert_array_equal(copy.expires_at, rows.expires_at)
    assert list(copy.flats) == list(rows.flats)


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b'{"n": NaN}',
        b'{"n": 1' + b"0" * 400 + b"}",
        b'{"a":' * 1500 + b"1" + b"}" * 1500,
        b'{"a":' * 800 + b"1" + b"}" * 800,
        b'{"a":' + b"[" * 800 + b"]" * 800 + b"}",
        b"[1]",
        b"5",
        b"null",
        b"",
        b"\xff",
        b'{"s": "\\ud800"}',
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_payload_that_could_not_be_replayed_is_refused_with_its_row(payload: bytes) -> None:
    batch = _batch(["a", "b"], np.ones((2, 16), np.float32))
    batch = DocumentBatch(batch.ids, batch.vectors, batch.texts, [b"{}", payload])
    with pytest.raises(InvalidArgument) as refused:
        rows_of(batch, Metric.L2)
    assert refused.value.fields["field"] == "payload"
    assert refused.value.fields["row"] == 1


def test_hashes_are_those_of_the_ids() -> None:
    assert hashes_of(["a", "ü"]).tolist() == [document_hash("a"), document_hash("ü")]
    assert hashes_of([]).shape == (0,)


def test_absent_and_empty_stay_apart_in_the_log() -> None:
    batch = DocumentBatch(["a", "b"], np.ones((2, 16), np.float32), [None, ""], [None, b"{}"])
    copy = decode_rows(memoryview(_encoded(rows_of(batch, Metric.L2))))
    assert copy.texts == [None, ""]
    assert copy.payloads == [None, b"{}"]


def test_rows_share_nothing_with_the_vectors_that_came_in() -> None:
    vectors = np.ones((3, 16), np.float32)
    for metric in Metric:
        assert not np.shares_memory(
            rows_of(_batch(["a", "b", "c"], vectors), metric).vectors, vectors
        )


@pytest.mark.parametrize("expires_at", [[1.0, math.nan], [1.0, -1.0], [1.0, -math.inf]])
def test_expiry_that_is_no_time_is_refused_with_its_row(expires_at: list[float]) -> None:
    batch = DocumentBatch(
        ["a", "b"], np.ones((2, 16), np.float32), [None] * 2, [None] * 2, np.array(expires_at)
    )
    with pytest.raises(InvalidArgument) as refused:
        rows_of(batch, Metric.L2)
    assert refused.value.fields["field"] == "expires_at"
    assert refused.value.fields["row"] == 1


@pytest.mark.parametrize("expires_at", [np.zeros(3), np.zeros(0), np.zeros((2, 1)), np.array(5.0)])
def test_expiry_for_other_rows_is_refused(expires_at: np.ndarray) -> None:
    batch = DocumentBatch(
        ["a", "b"], np.ones((2, 16), np.float32), [None] * 2, [None] * 2, expires_at
    )
    with pytest.raises(InvalidArgument, match="expires_at: must be 2 times"):
        rows_of(batch, Metric.L2)


def test_expiry_goes_with_the_document_that_won() -> None:
    batch = DocumentBatch(
        ["a", "b", "a"], np.ones((3, 16), np.float32), [None] * 3, [None] * 3,
        np.array([1.0, NEVER, 3.0]),
    )  # fmt: skip
    rows = rows_of(batch, Metric.L2)
    assert (list(rows.ids), rows.expires_at.tolist()) == (["b", "a"], [NEVER, 3.0])


@pytest.mark.parametrize(
    ("ids", "texts"),
    [(["\ud800"], [None]), (["a"], ["\udfff"]), ([None], [None]), ([5], [None]), (["a"], [5])],
)
def test_what_the_log_could_not_give_back_is_refused(ids: list[str], texts: list[str]) -> None:
    rows = rows_of(DocumentBatch(ids, np.ones((1, 16), np.float32), texts, [None]), Metric.L2)
    with pytest.raises(InvalidArgument, match="cannot be stored"):
        encode_rows(rows)


def test_large_arrays_are_not_copied_into_the_log() -> None:
    rows = rows_with([None] * 2000)
    parts = encode_rows(rows)
    assert len(parts) < 8
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), rows.vectors) for part in parts)


def test_part_of_rows_is_as_good_as_rows_of_a_part() -> None:
    rows = rows_with([{"n": number} for number in range(5)], expires_at=[1.0, 2.0, 3.0, 4.0, NEVER])
    some = rows.take([0, 3])
    assert list(some.ids) == ["doc-0", "doc-3"]
    assert some.expires_at.tolist() == [1.0, 4.0]
    assert [flat["n"] for flat in some.flats] == [[0], [3]]
    none = rows.take([])
    assert (len(none), none.vectors.shape) == (0, (0, 16))
    assert len(decode_rows(memoryview(_encoded(none)))) == 0


def _rows_of_all_sizes(rng: random.Random) -> Rows:
    count = rng.randrange(1, 60)
    characters = ["x", "ü", "日", "\U0001f600"]
    batch = DocumentBatch(
        [f"{row}" + rng.choice(characters) * rng.randrange(100) for row in range(count)],
        np.ones((count, 16), np.float32),
        [rng.choice([None, rng.choice(characters) * rng.randrange(3000)]) for _ in range(count)],
        [rng.choice([None, b'{"s":"' + b"y" * rng.randrange(3000) + b'"}']) for _ in range(count)],
    )
    return rows_of(batch, Metric.L2)


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_a_batch_fit_a_record_and_make_the_whole(seed: int) -> None:
    rows = _rows_of_all_sizes(random.Random(seed))
    largest = int(size_of(rows).max())
    for limit in (largest, 2 * largest, 10 * largest):
        parts = split_rows(rows, limit)
        assert [i for part in parts for i in part.ids] == list(rows.ids)
        assert [p for part in parts for p in part.payloads] == list(rows.payloads)
        for part in parts:
            assert len(part)
            assert len(_encoded(part)) <= int(size_of(part).sum()) + FRAMING_BYTES
            assert int(size_of(part).sum()) <= limit


def test_batch_that_fits_stays_whole() -> None:
    rows = rows_with([None] * 10)
    assert split_rows(rows, int(size_of(rows).sum())) == [rows]
    assert len(split_rows(rows, int(size_of(rows).sum()) - 1)) == 2
    empty = rows.take([])
    assert split_rows(empty, 10) == [empty]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_document_that_fits_no_record_is_refused(place: int) -> None:
    texts: list[str | None] = [None] * 3
    texts[place] = "x" * 5000
    batch = DocumentBatch(["a", "b", "c"], np.ones((3, 16), np.float32), texts, [None] * 3)
    with pytest.raises(TooLarge):
        split_rows(rows_of(batch, Metric.L2), 5000)


def test_bytes_that_are_no_rows_are_a_value_error() -> None:
    good = _encoded(rows_with([{"n": 1}] * 20))
    rng = random.Random(5)
    for _ in range(2000):
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 127, 128, 255])
        del damaged[rng.choice([len(damaged), rng.randrange(len(damaged))]) :]
        try:
            rows = decode_rows(memoryview(damaged))
        except ValueError:
            continue
        assert len(rows.ids) == len(rows.vectors) == len(rows.expires_at) == len(rows.flats)


@pytest.mark.parametrize(
    "batch",
    [
        pa.record_batch({"id": ["a"]}),
        pa.record_batch({"id": ["a"], "vector": [[1.0]]}),
        pa.record_batch({"a": ["a"], "b": pa.array([[1.0]], pa.list_(pa.float32(), 1))}),
    ],
)
def test_other_columns_are_a_value_error(batch: pa.RecordBatch) -> None:
    with pytest.raises(ValueError, match="has"):
        decode_rows(memoryview(b"".join(encode_stream(batch))))
