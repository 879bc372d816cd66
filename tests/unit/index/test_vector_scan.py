import numpy as np
import pytest

from akidb_ray.index import vector_scan
from akidb_ray.index.vector_scan import scan_vectors


@pytest.fixture(params=[4_000_000, 100], ids=["one block", "many blocks"], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_scan, "_BLOCK_VALUES", request.param)


def test_lengths_are_those_of_the_rows() -> None:
    vectors = np.random.default_rng(1).normal(size=(500, 17)).astype(np.float32)
    lengths = scan_vectors(vectors).lengths
    np.testing.assert_allclose(lengths, np.linalg.norm(vectors.astype(np.float64), axis=1))


def test_lengths_above_the_range_of_float32_are_finite() -> None:
    assert scan_vectors(np.full((2, 16), 3e38, np.float32)).lengths == pytest.approx([12e38] * 2)


def test_all_but_the_first_of_equal_rows_are_repeated() -> None:
    rng = np.random.default_rng(2)
    distinct = rng.normal(size=(50, 16)).astype(np.float32)
    rows = rng.integers(0, 50, 400)
    firsts = np.unique(rows, return_index=True)[1]
    expected = ~np.isin(np.arange(400), firsts)
    scan = scan_vectors(distinct[rows])
    np.testing.assert_array_equal(scan.repeated, expected)
    np.testing.assert_array_equal(scan.firsts, firsts[rows])


def test_rows_of_the_same_numbers_in_another_order_are_not_equal() -> None:
    vectors = np.stack([np.roll(np.arange(16, dtype=np.float32), n) for n in range(16)])
    assert not scan_vectors(vectors).repeated.any()


def test_rows_that_differ_in_one_bit_are_not_equal() -> None:
    vectors = np.ones((2, 16), np.float32)
    vectors[1, 15] = np.nextafter(np.float32(1), np.float32(2))
    assert not scan_vectors(vectors).repeated.any()


def test_there_may_be_no_rows() -> None:
    scan = scan_vectors(np.empty((0, 16), np.float32))
    assert len(scan.lengths) == len(scan.repeated) == 0


def test_caller_may_stop_between_blocks() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        scan_vectors(np.ones((10, 16), np.float32), stop)
