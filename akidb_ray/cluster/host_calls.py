"""What a host does with the calls of its connections: a value or an error for each item, so that
one bad item harms no other. Called by the threads of the connections.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from akidb_ray.cluster.host_server import Caller
from akidb_ray.domain.errors import AkiDBError, Internal, InvalidArgument
from akidb_ray.domain.query import ShardRead, ShardSearch, VectorQuery
from akidb_ray.domain.write import ShardWrite, WriteOutcome
from akidb_ray.shard.replicas import Replicas

_log = logging.getLogger(__name__)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class HostCalls:
    """`replicas` gives those of the store, opened by the first call: an error then reaches the
    caller. `cores` share what is searched together. What can't be answered together is carried out
    side by side, by so many `threads` for the reads of all calls, and by `writers` for writes.
    """

    def __init__(
        self, replicas: Callable[[], Replicas], threads: int, writers: int, cores: int
    ) -> None:
        self._replicas = replicas
        self._cores = cores
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="read")
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="write")

    def ask(self, items: Sequence[ShardRead[Any]], caller: Caller) -> list[Any]:
        """A value of the item's kind for each, or an error."""
        if len(items) == 1:
            # It had to wait for nothing.
            return [_answer(lambda: self._replicas().read(items[0]))]
        groups = searched_together(items)
        threads = max(1, self._cores // max(1, len(groups)))

        def of_group(group: list[int]) -> list[Any]:
            return self._ask_together([items[position] for position in group], threads, caller)

        answers: dict[int, Any] = {}
        parts = _side_by_side(self._readers, of_group, groups)
        for group, part in zip(groups, parts, strict=True):
            answers.update(zip(group, part, strict=True))
        return [answers[position] for position in range(len(items))]

    def _ask_together(self, items: Sequence[Any], threads: int, caller: Caller) -> list[Any]:
        if len(items) > 1:
            try:
                return self._replicas().search_many(items, threads)
            except InvalidArgument:
                _log.info("one of %s searches is wrong: each is answered alone", len(items))
            except AkiDBError as error:
                # This shard cannot answer any of them.
                return [error] * len(items)
            except Exception:
                _log.exception("%s searches failed together: each is tried alone", len(items))
        return [self._read(item, caller) for item in items]

    def write(self, items: Sequence[ShardWrite], caller: Caller) -> list[WriteOutcome | AkiDBError]:
        def of_item(item: ShardWrite) -> WriteOutcome | AkiDBError:
            return _answer(lambda: self._replicas().write(item, caller.check))

        return _side_by_side(self._writers, of_item, items)

    def _read(self, item: ShardRead[Answer], caller: Caller) -> Answer | AkiDBError:
        def read() -> Answer:
            caller.check()
            return self._replicas().read(item)

        return _answer(read)


def _answer(work: Callable[[], Answer]) -> Answer | AkiDBError:
    try:
        return work()
    except AkiDBError as error:
        return error
    except Exception as error:
        _log.exception("a request failed by a defect")
        return Internal(f"{type(error).__name__} in a shard host")


def _side_by_side(
    pool: ThreadPoolExecutor, work: Callable[[Item], Answer], items: Sequence[Item]
) -> list[Answer]:
    """What `work` gives for each: the last one by this thread, the others by the pool's."""
    others = [pool.submit(work, item) for item in items[:-1]]
    own = [work(item) for item in items[-1:]]
    return [other.result() for other in others] + own


def searched_together(items: Sequence[ShardRead[Any]]) -> list[list[int]]:
    """Positions of the items, those in one list that a shard can answer in one pass: searches for
    vectors that nobody wants explained, of one shard, for principals that see the same.
    """
    groups: dict[object, list[int]] = {}
    for position, item in enumerate(items):
        key: object = position
        if isinstance(item, ShardSearch):
            query = item.query
            if isinstance(query, VectorQuery) and not query.explain:
                key = item.shard, item.visible, item.min_version
        groups.setdefault(key, []).append(position)
    return list(groups.values())
