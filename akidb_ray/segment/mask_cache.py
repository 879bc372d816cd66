"""Masks of sealed segments that filters gave before, within so many bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from sys import getsizeof

from akidb_ray.domain.filter import Filter, HasId, Match, MatchExcept, MatchText, Scalar
from akidb_ray.segment.columns import RowMask

# A mask beside its rows, and what names it beside its values, measured.
_ENTRY_BYTES = 1_000
# One that is larger would push out too many others.
_LARGEST_SHARE = 4

# 1, 1.0 and True are equal, so equal filters may have other meanings: types tell them apart.
FilterKey = tuple[Filter, tuple[type, ...]]


def filter_key(filter: Filter) -> FilterKey:
    """Equal for filters that have one meaning."""
    return filter, tuple(map(type, _scalars(filter)))


class MaskCache:
    """Keeps the masks used last. All methods may be called from any thread.

    Masks of segments that are closed are used no more, and so go by themselves.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._masks: OrderedDict[tuple[object, FilterKey], tuple[RowMask, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._masks)

    def mask(self, segment: object, filter: Filter, make: Callable[[], RowMask]) -> RowMask:
        """The mask of `filter` in `segment`, made when it is not here. It cannot be written into.

        `segment` is a key that no other segment ever has.
        """
        if _is_cheap(filter):
            return _read_only(make())
        key = segment, filter_key(filter)
        with self._lock:
            kept = self._masks.get(key)
            if kept is not None:
                self._masks.move_to_end(key)
                return kept[0]
        made = _read_only(make())
        names_bytes = sum(map(getsizeof, _scalars(filter)))
        self._keep(key, made, made.nbytes + _ENTRY_BYTES + names_bytes)
        return made

    def _keep(self, key: tuple[object, FilterKey], mask: RowMask, size_bytes: int) -> None:
        if size_bytes * _LARGEST_SHARE > self._max_bytes:
            return
        with self._lock:
            # Another thread may have made it too.
            if key not in self._masks:
                self._masks[key] = mask, size_bytes
                self.size_bytes += size_bytes
            while self.size_bytes > self._max_bytes:
                _, (_, gone_bytes) = self._masks.popitem(last=False)
                self.size_bytes -= gone_bytes


def _is_cheap(filter: Filter) -> bool:
    """Whether only ids are asked for, which are found at once."""
    clauses = (*filter.must, *filter.should, *filter.must_not)
    return all(
        _is_cheap(clause) if isinstance(clause, Filter) else isinstance(clause, HasId)
        for clause in clauses
    )


def _scalars(filter: Filter) -> Iterator[Scalar]:
    """All values that conditions compare with, in the order of the tree."""
    for clause in (*filter.must, *filter.should, *filter.must_not):
        match clause:
            case Filter():
                yield from _scalars(clause)
            case Match(values=values) | MatchExcept(values=values):
                yield from values
            case MatchText(words=words):
                yield from words
            case HasId(ids=ids):
                yield from ids


def _read_only(mask: RowMask) -> RowMask:
    mask.flags.writeable = False
    return mask
