"""all-MiniLM-L6-v2 on MLX: the vectors of PyTorch, whatever else is in the batch."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.embedding.embedder import Embedded, Embedder
from akidb_ray.embedding.models import DEFAULT_MODEL, _package_folder, load_embedder

DATA = Path(__file__).parents[2] / "data" / "embedding"
TEXTS: list[str] = json.loads((DATA / "texts.json").read_text())


def test_vectors_agree_with_pytorch(minilm: Embedder) -> None:
    expected = np.load(DATA / "minilm_expected.npy")
    vectors = minilm.embed(TEXTS, "document").vectors
    assert vectors.dtype == np.float32
    assert (vectors * expected).sum(axis=1).min() >= 0.999999


def test_vectors_have_unit_length(minilm: Embedder) -> None:
    vectors = minilm.embed(TEXTS, "document").vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_model_says_what_it_is(minilm: Embedder) -> None:
    assert (minilm.model_id, minilm.dimension, minilm.max_tokens) == (DEFAULT_MODEL, 384, 256)


def test_documents_and_queries_are_treated_alike(minilm: Embedder) -> None:
    documents = minilm.embed(TEXTS, "document").vectors
    assert (documents == minilm.embed(TEXTS, "query").vectors).all()


def test_vector_does_not_depend_on_the_rest_of_the_batch(minilm: Embedder) -> None:
    together = minilm.embed(TEXTS, "document").vectors
    alone = np.vstack([minilm.embed([text], "document").vectors for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_order_of_texts_is_kept_over_many_batches(minilm: Embedder) -> None:
    texts = [f"{'more ' * (row * 7 % 30)} number {row}" for row in range(80)]
    forward = minilm.embed(texts, "document").vectors
    backward = minilm.embed(texts[::-1], "document").vectors
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-5)


def test_long_text_is_cut_and_reported(minilm: Embedder) -> None:
    # Each "word" is one token, and two of max_tokens go to the marks at start and end.
    fits = "word " * (minilm.max_tokens - 2)
    embedded = minilm.embed(["short", fits, fits + "word", fits * 20], "document")
    assert embedded.truncated.tolist() == [False, False, True, True]
    np.testing.assert_allclose(embedded.vectors[1], embedded.vectors[2], atol=1e-5)


def test_no_texts_make_no_vectors(minilm: Embedder) -> None:
    embedded = minilm.embed([], "document")
    assert embedded.vectors.shape == (0, 384)
    assert embedded.truncated.shape == (0,)


def test_text_that_is_not_unicode_is_refused_by_row(minilm: Embedder) -> None:
    with pytest.raises(InvalidArgument) as caught:
        minilm.embed(["good", "bad \ud800"], "document")
    assert caught.value.fields == {"field": "text", "reason": "is not valid Unicode", "row": 1}


def test_threads_may_embed_at_the_same_time(minilm: Embedder) -> None:
    expected = minilm.embed(TEXTS, "document").vectors
    answers: list[Embedded] = []
    threads = [
        threading.Thread(target=lambda: answers.append(minilm.embed(TEXTS, "document")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for answer in answers:
        np.testing.assert_allclose(answer.vectors, expected, atol=1e-5)


def test_folder_with_cls_pooling_takes_the_first_token(tmp_path: Path, minilm: Embedder) -> None:
    source = _package_folder(DEFAULT_MODEL)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).symlink_to(source / name)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    embedder = load_embedder(str(tmp_path))
    # Without sentence_bert_config.json every position is read.
    assert (embedder.dimension, embedder.max_tokens) == (384, 512)
    together = embedder.embed(TEXTS, "document").vectors
    alone = np.vstack([embedder.embed([text], "document").vectors for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert (together * minilm.embed(TEXTS, "document").vectors).sum(axis=1).max() < 0.99
