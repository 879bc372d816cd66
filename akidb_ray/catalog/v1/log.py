"""`migration.log`: what migrations did, and what kept them from it, line by line, appended.

The lines of a run come before its change of the database, and its last line after that: a run
without an end was cut off, and running it again tells what is there. No secret is ever in it.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from akidb_ray.domain.errors import StorageFailed, StorageFull
from akidb_ray.storage.os_filesystem import OsFileSystem

LOG_FILE = "migration.log"


class MigrationLog:
    """The log beside a database file. Raises StorageFull, StorageFailed."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self._fs = OsFileSystem(folder)
        self._clock = clock

    def write(self, lines: Iterable[str]) -> None:
        """Append them, each with the time; on disk when this returns."""
        now = self._clock().astimezone(UTC).isoformat(timespec="milliseconds")
        text = self._end_of_torn_line() + "".join(f"{now} {_one_line(line)}\n" for line in lines)
        file = self._fs.append(PurePosixPath(LOG_FILE))
        try:
            file.write([text.encode()])
            file.sync()
        finally:
            file.close()
        self._fs.sync_directory(PurePosixPath())

    def conclude(self, line: str) -> str:
        """Write the last line of what is done for good, whether the log has room for it or not.

        Returns why it could not be written; "" when it was.
        """
        try:
            self.write([line])
        except (StorageFull, StorageFailed) as error:
            return error.detail
        return ""

    def _end_of_torn_line(self) -> str:
        """What a crash cut off must not become the beginning of a line of ours."""
        path = PurePosixPath(LOG_FILE)
        if not self._fs.exists(path) or not self._fs.size_bytes(path):
            return ""
        return "" if self._fs.read(path).endswith(b"\n") else "\n"


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
