import numpy as np
import pytest

from akidb_ray.domain.collection import Metric
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import document_hash
from akidb_ray.segment.rows import decode_rows, encode_rows, hashes_of, rows_of
from tests.unit.segment.rows_of_documents import rows_with


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
    encoded = bytes(shift) + encode_rows(rows)
    copy = decode_rows(memoryview(encoded)[shift:])
    assert (list(copy.ids), copy.texts, copy.payloads) == (
        list(rows.ids), list(rows.texts), list(rows.payloads),
    )  # fmt: skip
    np.testing.assert_array_equal(copy.vectors, rows.vectors)
    np.testing.assert_array_equal(copy.lengths, rows.lengths)


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
