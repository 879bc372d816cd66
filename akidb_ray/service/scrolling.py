"""A page of a scroll, as far as it has got: the next documents of all shards in the order of their
ids. It does no I/O.

Ids are spread over shards by a hash, so each shard has about its share of any page. It is asked for
a little more than that, and again where that was not enough: to ask each for a whole page would
have it read its documents once for every shard there is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.query import MAX_LIMIT


@dataclass(eq=False, slots=True)
class _Part:
    """What a shard gave so far. What comes next is behind `after`, unless it has `ended`; `asked`
    is how many documents it was asked for last.
    """

    after: str | None
    documents: list[StoredDocument] = field(default_factory=list)
    asked: int = 0
    ended: bool = False


class ScrollMerge:
    """`numbers` are those of the shards; the page starts behind the id `after`."""

    def __init__(self, numbers: Sequence[int], after: str | None, limit: int) -> None:
        self._limit = limit
        self._parts = {number: _Part(after) for number in numbers}

    def ask(self) -> dict[int, tuple[int, str | None]]:
        """How many documents each shard is to be asked for, and behind which id; none: enough."""
        # One more than the page has tells whether there is another page.
        wanted = self._limit + 1 - len(self._ready())
        open_parts = {n: part for n, part in self._parts.items() if not part.ended}
        if wanted <= 0 or not open_parts:
            return {}
        share = wanted / len(open_parts)
        ample = share if len(open_parts) == 1 else share + 4 * math.sqrt(share) + 4
        for part in open_parts.values():
            part.asked = min(math.ceil(ample), wanted, MAX_LIMIT)
        return {number: (part.asked, part.after) for number, part in open_parts.items()}

    def take(self, number: int, documents: Sequence[StoredDocument]) -> None:
        part = self._parts[number]
        part.documents.extend(documents)
        part.ended = len(documents) < part.asked
        if documents:
            part.after = documents[-1].id

    def page(self) -> tuple[list[StoredDocument], str | None]:
        """The documents, and the id behind which the next page starts, None when there is none."""
        ready = self._ready()
        shown = ready[: self._limit]
        return shown, shown[-1].id if len(ready) > self._limit else None

    def _ready(self) -> list[StoredDocument]:
        """In order, up to where a shard may have more that it has not told of."""
        open_ends = [part.after for part in self._parts.values() if not part.ended]
        if not all(open_ends):
            return []
        end = min((after for after in open_ends if after is not None), default=None)
        documents = [d for part in self._parts.values() for d in part.documents]
        documents.sort(key=lambda document: document.id)
        return [d for d in documents if end is None or d.id <= end]
