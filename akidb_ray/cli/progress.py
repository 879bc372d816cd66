"""Bars on stderr, where they disturb no output: how far, how fast, how long still."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from akidb_ray.cli.output import printable


class UploadProgress:
    """A bar on stderr, where it disturbs no output; only lines that matter without a terminal.

    `total` is in the unit that `advance` counts: bytes of files, or documents.
    """

    def __init__(self, total: int, shown: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[saved]:,} documents, {task.fields[rate]:,.0f}/s, left:"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
        )
        self._task = self._progress.add_task("Ingesting", total=total, saved=0, rate=0.0)
        self._began = time.monotonic()
        self._done = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def advance(self, done: int, saved: int) -> None:
        """`done` of the total lie behind us, and `saved` documents are acknowledged."""
        self._done = max(self._done, done)
        rate = saved / max(self.elapsed_s, 1e-3)
        self._progress.update(self._task, completed=self._done, saved=saved, rate=rate)

    def print(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(line, markup=False)


class JobProgress:
    """How far a job on the server is, and what keeps it from going on. Only on a terminal."""

    def __init__(self, what: str, shown: bool = True) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[trouble]}", markup=False),
            console=console,
            disable=not (shown and console.is_terminal),
        )
        self._task = self._progress.add_task(printable(what), total=1, trouble="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, done: int, total: int, trouble: str | None) -> None:
        """`done` of `total` steps; `trouble` is the reason why it does not go on."""
        self._progress.update(
            self._task, completed=done, total=max(total, 1), trouble=printable(trouble or "")
        )
