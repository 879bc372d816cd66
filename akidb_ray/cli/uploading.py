"""Documents to a collection: in batches, several at a time, without losing good rows to bad ones.

Rules it keeps: a row that the server refuses is reported, and the rest of its batch is sent again.
Of rows with the same id, the last in the files wins, so such rows are never in flight together.
Sending a batch twice does no harm, because an upsert replaces.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from akidb_ray.cli.client import ApiError
from akidb_ray.cli.retrying import Patience, call_with_retries, passes_by_itself
from akidb_ray.domain.errors import Unavailable
from akidb_ray.ingest.rows import BadRow, Row

# Well under the size of a body that a server takes by default.
MAX_BATCH_BYTES = 8 * 1024**2

_ROW_IN_FIELD = re.compile(r"documents\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """How documents are sent. `parallel` requests in flight keep that many embedders busy."""

    batch_size: int = 256
    parallel: int = 2
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of some rows: how many are acknowledged, which were bad, and how far it got."""

    saved: int
    bad: tuple[BadRow, ...]
    read_bytes: int


def upload(
    upsert: Callable[[list[bytes]], int], rows: Iterable[Row | BadRow], plan: UploadPlan
) -> Iterator[Sent]:
    """Send all rows, yielding as batches are done. Bad rows among them come back unsent.

    `upsert` writes encoded documents or raises ApiError or Unavailable. An error that is no single
    row's fault is raised when what is in flight has ended.
    """
    stop = threading.Event()
    sender = _Sender(upsert, plan.patience, stop)
    flying: dict[Future[Sent], set[str]] = {}
    with ThreadPoolExecutor(plan.parallel, thread_name_prefix="upload") as pool:
        try:
            for piece in _batches(rows, plan.batch_size):
                if isinstance(piece, BadRow):
                    yield Sent(0, (piece,), 0)
                    continue
                ids = {row.id for row in piece}
                while len(flying) >= plan.parallel or any(
                    ids & others for others in flying.values()
                ):
                    yield from _landed(flying)
                flying[pool.submit(sender.send, piece)] = ids
            while flying:
                yield from _landed(flying)
        finally:
            # Nobody waits for retries any more, whether by an error or by Ctrl-C.
            stop.set()


def _landed(flying: dict[Future[Sent], set[str]]) -> Iterator[Sent]:
    done, _ = wait(flying, return_when=FIRST_COMPLETED)
    for future in done:
        del flying[future]
    # What is saved is told before what went wrong.
    for future in sorted(done, key=lambda each: each.exception() is not None):
        yield future.result()


def _batches(rows: Iterable[Row | BadRow], size: int) -> Iterator[list[Row] | BadRow]:
    batch: list[Row] = []
    ids: set[str] = set()
    total_bytes = 0
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        full = len(batch) >= size or total_bytes + len(row.body) > MAX_BATCH_BYTES
        if batch and (full or row.id in ids):
            yield batch
            batch, ids, total_bytes = [], set(), 0
        batch.append(row)
        ids.add(row.id)
        total_bytes += len(row.body)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends batches from a thread of the pool, until `stop` is set."""

    upsert: Callable[[list[bytes]], int]
    patience: Patience
    stop: threading.Event

    def send(self, batch: list[Row]) -> Sent:
        """Send until the server takes it, with each row left out that it refuses."""
        left = list(batch)
        bad: list[BadRow] = []
        while left:
            try:
                saved = self._upsert(left)
                return Sent(saved, tuple(bad), batch[-1].read_bytes)
            except ApiError as error:
                if len(left) > 1 and _is_too_much(error):
                    halves = [self.send(half) for half in _halves(left)]
                    bad += [row for half in halves for row in half.bad]
                    saved = sum(half.saved for half in halves)
                    return Sent(saved, tuple(bad), batch[-1].read_bytes)
                number = _refused_row(error, len(left))
                if number is None:
                    raise
                row = left.pop(number)
                bad.append(BadRow(row.file, row.line, _reason(error)))
        return Sent(0, tuple(bad), batch[-1].read_bytes)

    def _upsert(self, rows: list[Row]) -> int:
        bodies = [row.body for row in rows]

        def passes(error: ApiError | Unavailable) -> bool:
            halve = isinstance(error, ApiError) and len(rows) > 1 and _is_too_much(error)
            return passes_by_itself(error) and not halve

        return call_with_retries(
            lambda: self.upsert(bodies), self.patience, wait=self._wait, passes=passes
        )

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Unavailable("the upload was stopped")


def _is_too_much(error: ApiError) -> bool:
    """Whether less at a time would do: the body is too large, or embedding it takes too long."""
    return error.status == 413 or error.code == "deadline_exceeded"


def _halves(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    middle = len(rows) // 2
    return rows[:middle], rows[middle:]


def _refused_row(error: ApiError, count: int) -> int | None:
    """Which row of the request the server complains of; None when it is not about one row."""
    if error.status == 413 and count == 1:
        return 0
    if error.status != 422:
        return None
    in_field = _ROW_IN_FIELD.match(str(error.fields.get("field", "")))
    number = int(in_field[1]) if in_field else error.fields.get("row")
    return number if isinstance(number, int) and 0 <= number < count else None


def _reason(error: ApiError) -> str:
    """The complaint without the row's number in the request, which means nothing to the reader."""
    field_name = _ROW_IN_FIELD.sub("", str(error.fields.get("field", ""))).lstrip(".")
    reason = error.fields.get("reason")
    if not isinstance(reason, str):
        return error.detail
    return f"{field_name}: {reason}" if field_name else reason
