"""The embedder without a model."""

import numpy as np
import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.embedding.hashing import HashingEmbedder
from akidb_ray.embedding.models import load_embedder


def test_vectors_are_the_same_in_every_process() -> None:
    # Written down, as a hash that changes between processes or versions would ruin stored vectors.
    vector = HashingEmbedder("hashing-8", 8).embed(["red apple, red pear"], "document").vectors[0]
    assert vector.tolist() == pytest.approx([-0.1644, 0, 0, 0, 0, -0.9864, 0, 0], abs=1e-4)


def test_vectors_have_unit_length() -> None:
    texts = ["", "...", "one", "one two three " * 50, "東京 🚀"]
    embedded = load_embedder("hashing-384").embed(texts, "document")
    assert embedded.vectors.shape == (5, 384)
    assert embedded.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1, atol=1e-6)


def test_texts_that_share_words_are_nearer() -> None:
    red, rose, ship = (
        load_embedder("hashing-384")
        .embed(["a red rose", "Red roses, a red rose", "ship at sea"], "document")
        .vectors
    )
    assert red @ rose > red @ ship + 0.3


def test_documents_and_queries_are_treated_alike() -> None:
    embedder = load_embedder("hashing-64")
    document, query = (embedder.embed(["same"], kind).vectors for kind in ("document", "query"))
    assert (document == query).all()


def test_long_text_is_cut_and_reported() -> None:
    embedder = load_embedder("hashing-64")
    limit = embedder.max_tokens
    embedded = embedder.embed(["word " * limit, "word " * limit + "more"], "document")
    assert embedded.truncated.tolist() == [False, True]
    assert (embedded.vectors[0] == embedded.vectors[1]).all()


def test_text_that_is_not_unicode_is_refused_by_row() -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_embedder("hashing-64").embed(["good", "\ud800"], "document")
    assert caught.value.fields["row"] == 1
