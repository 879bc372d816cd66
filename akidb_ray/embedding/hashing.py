"""An embedder without a model: texts that share words are near each other, and nothing more.

It loads in no time and needs no weights, so tests that are not about meaning use it.
"""

import re
from collections.abc import Sequence

import numpy as np
import xxhash

from akidb_ray.embedding.embedder import Embedded, TextKind, check_texts

_WORD = re.compile(r"\w+")
_SIGN_BIT = 1 << 63


class HashingEmbedder:
    """Feature hashing of lower-case words (Weinberger et al., 2009, arXiv:0902.2206).

    Each word adds +1 or -1 at a place that xxh3 decides, so the same text has the same vector in
    every process and version.
    """

    max_tokens = 8192

    def __init__(self, model_id: str, dimension: int) -> None:
        self.model_id = model_id
        self.dimension = dimension

    def embed(self, texts: Sequence[str], kind: TextKind) -> Embedded:
        """See Embedder. Both kinds give the same vector; a token is a word."""
        check_texts(texts)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        truncated = np.zeros(len(texts), dtype=np.bool_)
        for row, text in enumerate(texts):
            words = _WORD.findall(text.lower())
            truncated[row] = len(words) > self.max_tokens
            self._add_words(vectors[row], words[: self.max_tokens])
        # Words add whole numbers, so half a one keeps any row from being zero: neither a text
        # without words nor one whose words cancel out has zero length.
        vectors[:, 0] += 0.5
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embedded(vectors, truncated)

    def _add_words(
        self, vector: np.ndarray[tuple[int], np.dtype[np.float32]], words: list[str]
    ) -> None:
        for word in words:
            digest = xxhash.xxh3_64_intdigest(word.encode())
            vector[digest % self.dimension] += 1.0 if digest & _SIGN_BIT else -1.0
