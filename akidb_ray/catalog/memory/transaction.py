"""A transaction on a state of its own, and what it does with things of any kind."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from akidb_ray.catalog.memory.kinds import COLLECTION, DATABASE, JOB, USER, Kind, comparable
from akidb_ray.catalog.memory.state import State
from akidb_ray.domain.errors import (
    AlreadyExists,
    Internal,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
)
from akidb_ray.domain.ids import CollectionId, EntityId
from akidb_ray.domain.tenancy import Tenant

Thing = TypeVar("Thing")


@dataclass(slots=True)
class Transaction:
    """`now` is its time. One that only reads shares its state with others: it must not write."""

    state: State
    now: datetime
    writing: bool

    def check_writing(self) -> None:
        """Raise Internal unless this transaction may write."""
        if not self.writing:
            raise Internal("a transaction that reads was asked to write")

    def things(self, kind: Kind[Thing]) -> dict[Any, Thing]:
        found: dict[Any, Thing] = getattr(self.state, kind.table)
        return found

    def get(self, kind: Kind[Thing], thing_id: EntityId) -> Thing:
        """Raises NotFound."""
        found = self.things(kind).get(thing_id)
        if found is None:
            raise NotFound(kind.word, thing_id)
        return found

    def children(self, kind: Kind[Thing], parent_id: EntityId) -> list[Thing]:
        """Those of this kind that are in the parent; none if it does not exist."""
        assert kind.parent is not None
        key = kind.parent.key
        return [each for each in self.things(kind).values() if getattr(each, key) == parent_id]

    def add(self, kind: Kind[Thing], thing: Any) -> None:
        """Raises InvalidArgument, AlreadyExists, NotFound (of the parent)."""
        self.check_writing()
        if thing.version != 1:
            raise InvalidArgument("version", f"of a new thing must be 1, is {thing.version}")
        times = {
            name: getattr(thing, name).astimezone(UTC) for name in ("created_at", "updated_at")
        }
        kept = kind.check(replace(thing, **times))
        thing_id = getattr(kept, kind.key)
        if thing_id in self.things(kind):
            raise AlreadyExists(kind.word, kind.key, thing_id)
        if kind.parent is not None:
            self.get(kind.parent, getattr(kept, kind.parent.key))
        self._put(kind, kept)

    def update(self, kind: Kind[Thing], thing: Any) -> Thing:
        """Raises NotFound, PreconditionFailed, InvalidArgument, AlreadyExists."""
        self.check_writing()
        thing_id = getattr(thing, kind.key)
        kept: Any = self.get(kind, thing_id)
        if thing.version != kept.version:
            raise PreconditionFailed(
                f"{kind.word} {thing_id} has version {kept.version}, not {thing.version}; "
                "read it again",
                kind=kind.word,
                version=kept.version,
            )
        for field in kind.fixed:
            if getattr(thing, field) != getattr(kept, field):
                raise InvalidArgument(field, "cannot change after creation")
        wanted: Any = kind.check(replace(thing, updated_at=kept.updated_at))
        if not _same(wanted, kept):
            kept = replace(wanted, version=kept.version + 1, updated_at=self.now)
            self._put(kind, kept)
        result: Thing = kept
        return result

    def delete(self, kind: Kind[Thing], thing_id: EntityId) -> None:
        """With all that is in it, as one change. Raises NotFound."""
        self.check_writing()
        self.get(kind, thing_id)
        self._remove(kind, thing_id)
        self.record(kind, thing_id)

    def record(self, kind: Kind[Any], thing_id: EntityId) -> None:
        """Raise the version, and say what changed. Nobody follows jobs."""
        if kind is not JOB:
            self.state.changes.append(thing_id)

    def _put(self, kind: Kind[Thing], thing: Thing) -> None:
        thing_id = getattr(thing, kind.key)
        if kind.parent is None:
            rivals = list(self.things(kind).values())
        else:
            rivals = self.children(kind, getattr(thing, kind.parent.key))
        others = [each for each in rivals if getattr(each, kind.key) != thing_id]
        for field in kind.unique:
            value = comparable(field, getattr(thing, field))
            taken = {comparable(field, getattr(each, field)) for each in others}
            if value is not None and value in taken:
                raise AlreadyExists(kind.word, field, getattr(thing, field))
        self.things(kind)[thing_id] = thing
        self.record(kind, thing_id)

    def _remove(self, kind: Kind[Any], thing_id: EntityId) -> None:
        inside: tuple[Kind[Any], ...] = (USER, DATABASE, COLLECTION)
        for inner in inside:
            if inner.parent is kind:
                for each in self.children(inner, thing_id):
                    self._remove(inner, getattr(each, inner.key))
        del self.things(kind)[thing_id]
        if kind is COLLECTION:
            self.state.placements.pop(CollectionId(thing_id.value), None)


def _same(one: Any, other: Any) -> bool:
    """Equal also as JSON, where true is not 1."""
    texts = [
        json.dumps(thing.metadata, sort_keys=True) if isinstance(thing, Tenant) else ""
        for thing in (one, other)
    ]
    return bool(one == other and texts[0] == texts[1])
