"""Sentence encoders of the BERT family (Reimers and Gurevych, 2019, arXiv:1908.10084)."""

from collections.abc import Sequence
from typing import Literal

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.embedding.batching import plan_batches
from akidb_ray.embedding.embedder import Embedded, TextKind, check_texts
from akidb_ray.embedding.mlx.bert import BertEncoder
from akidb_ray.embedding.mlx.kernels import prepare_kernels
from akidb_ray.embedding.model_folder import FIELD, BertFolder

# Enough rows for the matrix products to run at full speed, few enough to stay in a core's cache.
_TOKENS_PER_BATCH = 512
_ROWS_PER_BATCH = 64


class SentenceBert:
    """Tokenize, encode, pool, normalize. Symmetric: documents and queries are treated alike."""

    def __init__(self, model_id: str, folder: BertFolder) -> None:
        """Load tokenizer and weights. Raises InvalidArgument when the folder is incomplete."""
        self.model_id = model_id
        self.dimension = folder.dimension
        self.max_tokens = folder.max_tokens
        self._pooling = folder.pooling
        self._tokenizer = _load_tokenizer(folder)
        self._encoder = BertEncoder(folder)
        prepare_kernels()

    def embed(self, texts: Sequence[str], kind: TextKind) -> Embedded:
        """See Embedder. A vector depends on its text alone, not on what else is in the call."""
        encodings = self._tokenize(texts)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        lengths = [len(encoding) for encoding in encodings]
        for rows in plan_batches(lengths, _TOKENS_PER_BATCH, _ROWS_PER_BATCH):
            vectors[rows] = self._embed_batch([encodings[row].ids for row in rows])
        truncated = np.array([bool(one.overflowing) for one in encodings], dtype=np.bool_)
        return Embedded(vectors, truncated)

    def _tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        check_texts(texts)
        return self._tokenizer.encode_batch(list(texts))

    def _embed_batch(self, token_ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        length = max(len(row) for row in token_ids)
        tokens = np.zeros((len(token_ids), length), dtype=np.int32)
        mask = np.zeros(tokens.shape, dtype=np.float32)
        for row, ids in enumerate(token_ids):
            tokens[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        states = self._encoder.encode(mx.array(tokens), mx.array(mask))
        pooled = _pool(states, mx.array(mask), self._pooling)
        return np.array(pooled / mx.linalg.norm(pooled, axis=-1, keepdims=True))


def _pool(states: mx.array, mask: mx.array, pooling: Literal["mean", "cls"]) -> mx.array:
    """(batch, length, dimension) to (batch, dimension)."""
    if pooling == "cls":
        return states[:, 0]
    # The sum over tokens. The count would only scale it, and the vectors become unit length.
    return (mask[:, None, :] @ states)[:, 0]


def _load_tokenizer(folder: BertFolder) -> Tokenizer:
    file = folder.path / "tokenizer.json"
    if not file.is_file():
        raise InvalidArgument(FIELD, f"{folder.path} is not a model folder: it has no {file.name}")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise InvalidArgument(FIELD, f"{file} cannot be read: {error}") from error
    # The file may carry settings for padding and length that are not the model's.
    tokenizer.enable_truncation(folder.max_tokens)
    tokenizer.no_padding()
    return tokenizer
