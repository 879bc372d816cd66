"""One loaded model for all tests of this folder."""

import pytest

import akidb_ray.embedding.mlx  # noqa: F401 - loads BLAS before any test imports MLX
from akidb_ray.embedding.embedder import Embedder
from akidb_ray.embedding.models import DEFAULT_MODEL, load_embedder


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    return load_embedder(DEFAULT_MODEL)
