"""What every embedding model gives to its callers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from akidb_ray.domain.errors import InvalidArgument

TextKind = Literal["document", "query"]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """n embedded texts, in the order in which they came.

    `vectors` is float32 (n, dimension), each row of unit length. `truncated` is bool (n,): true for
    a text longer than the model reads, of which only the first `max_tokens` tokens count.
    """

    vectors: NDArray[np.float32]
    truncated: NDArray[np.bool_]


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what has no UTF-8, such as half of a surrogate pair. Raises InvalidArgument."""
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidArgument("text", "is not valid Unicode", row) from None


class Embedder(Protocol):
    """One loaded model. Synchronous and busy on one core; safe to call from several threads."""

    @property
    def model_id(self) -> str:
        """The name under which the model was asked for."""

    @property
    def dimension(self) -> int:
        """Width of the vectors."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that the model reads, its own marks at start and end included."""

    def embed(self, texts: Sequence[str], kind: TextKind) -> Embedded:
        """Embed n texts; an empty text has a vector too, and n may be 0.

        `kind` matters to models that were trained with different prefixes for what is stored and
        what is asked. Raises InvalidArgument naming the row of a text that is not valid Unicode.
        """
