"""Vectors travel as base64 of little-endian float32."""

import base64
from typing import Any

import numpy as np
import pytest
from akidb import vectors
from akidb.vectors import decode_vector, encode_vector, rows_of

from akidb_ray.gateway.rest.vectors import decode_base64

NUMBERS = [0.1, -2.5, 3e38]


@pytest.mark.parametrize(
    "vector",
    [
        NUMBERS,
        tuple(NUMBERS),
        np.array(NUMBERS),
        np.array(NUMBERS, np.float32),
        np.array([NUMBERS, NUMBERS], ">f8").T[:, 1],
    ],
)
def test_the_server_reads_what_the_client_writes(vector: Any) -> None:
    assert decode_base64(encode_vector(vector)).tolist() == np.array(NUMBERS, np.float32).tolist()


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), "numbers", 3, [1, "a"], None])
def test_what_is_no_vector_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_vector(wrong)


def test_vectors_come_back_as_arrays_that_can_be_changed() -> None:
    vector = decode_vector(encode_vector(NUMBERS))
    assert vector.dtype == np.float32
    vector *= 0
    assert vector.tolist() == [0, 0, 0]
    assert decode_vector([1.0, 2.0]).tolist() == [1, 2]


def test_without_numpy_vectors_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "np", None)
    text = encode_vector([1.0, 2.5])
    assert base64.b64decode(text) == np.array([1, 2.5], "<f4").tobytes()
    assert decode_vector(text) == [1.0, 2.5]
    assert decode_vector([1.0, 2.0]) == [1.0, 2.0]


def test_only_a_matrix_is_an_array_of_vectors() -> None:
    assert [row.tolist() for row in rows_of(np.eye(2))] == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"\(rows, dimension\)"):
        rows_of(np.zeros(3))
