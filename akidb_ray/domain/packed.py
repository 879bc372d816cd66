"""Many values kept as bytes, for those who only pass them on.

A hundred thousand objects cost the garbage collector a long walk, and pickling them again for each
receiver costs seconds. Kept as pickles of some hundred values each they cost neither: whoever
needs the values unpacks them, part by part. As with any pickle, only those who are trusted to run
code here may make one.
"""

import io
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, TypeVar, overload
from uuid import UUID

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
Reducer = Callable[[Any], tuple[Any, ...]]


def pack(values: Sequence[Any]) -> bytes:
    """One part. Values that are the same object in it are so again when it is unpacked."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(tuple(values))
    return file.getvalue()


class _Reducers(dict[type, Reducer]):
    """How dataclasses and UUIDs are pickled: as a call with their fields. What they do themselves
    takes three times as long.
    """

    def __missing__(self, kind: type) -> Reducer:
        if not is_dataclass(kind):
            raise KeyError(kind)
        names = [field.name for field in fields(kind)]
        read = attrgetter(*names)
        # Of a single name attrgetter makes a value, not a tuple of one.
        single = len(names) == 1
        reducer = self[kind] = lambda value: (kind, (read(value),) if single else read(value))
        return reducer


def _uuid(value: bytes) -> UUID:
    return UUID(bytes=value)


_REDUCERS = _Reducers({UUID: lambda value: (_uuid, (value.bytes,))})


class PackedSequence(Sequence[T]):
    """A sequence made of `length` values in parts. Made to be gone through: an index is slow."""

    __slots__ = ("_length", "_parts")

    def __init__(self, parts: Iterable[bytes], length: int) -> None:
        self._parts = tuple(parts)
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for part in self._parts:
            yield from pickle.loads(part)  # noqa: S301

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"PackedSequence({self._length} values)"


class PackedMapping(Mapping[K, V]):
    """A mapping made of packed pairs, which are unpacked, all of them, by its first use."""

    __slots__ = ("_pairs", "_unpacked")

    def __init__(self, pairs: PackedSequence[tuple[K, V]]) -> None:
        self._pairs = pairs
        self._unpacked: dict[K, V] | None = None

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[K]:
        return iter(self._mapping())

    def __getitem__(self, key: K) -> V:
        return self._mapping()[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedMapping, (self._pairs,)

    def __repr__(self) -> str:
        return f"PackedMapping({len(self)} pairs)"

    def _mapping(self) -> dict[K, V]:
        if self._unpacked is None:
            self._unpacked = dict(self._pairs)
        return self._unpacked
