"""`akidb ingest FILE...`"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from akidb_ray.cli.output import print_json, print_line, printable
from akidb_ray.cli.session import Session, connected

if TYPE_CHECKING:
    from akidb_ray.cli.progress import UploadProgress
    from akidb_ray.cli.uploading import Sent
    from akidb_ray.ingest.files import SourceFile
    from akidb_ray.ingest.rows import Accepts, BadRow, FieldNames, Row

# A file whose rows are all bad must not scroll its first reason away.
_SHOWN_BAD_ROWS = 20


@connected("tenant", "database", "collection")
def ingest(
    session: Session,
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON Lines or Parquet.")],
    id_field: Annotated[str, typer.Option(help="Field with the document's id.")] = "id",
    text_field: Annotated[str, typer.Option(help="Field with the text to embed.")] = "text",
    vector_field: Annotated[str, typer.Option(help="Field with the vector.")] = "vector",
    batch_size: Annotated[int, typer.Option(min=1, max=10_000, help="Rows per request.")] = 256,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Requests in flight.")] = 2,
) -> None:
    """Write the rows of files as documents. What is no id, text or vector becomes the payload.

    A bad row is reported with its line, and the others are saved; the exit code is 1 then. A row
    whose id exists already replaces that document, so that ingesting a file again does no harm.
    """
    from akidb_ray.cli.progress import UploadProgress
    from akidb_ray.cli.uploading import UploadPlan, upload
    from akidb_ray.ingest.files import find_source
    from akidb_ray.ingest.rows import Accepts, FieldNames

    collection = session.collection()
    sources = [find_source(file) for file in files]
    # Before anything is sent: says whether server, key and collection are right.
    settings = collection.describe()
    accepts = Accepts(settings.get("dimension"), settings.get("embedding_model") is not None)
    rows = _read_all(sources, FieldNames(id_field, text_field, vector_field), accepts)
    total_bytes = sum(source.size_bytes for source in sources)
    tally = _Tally()
    with UploadProgress(total_bytes, shown=not session.as_json) as progress:
        try:
            for sent in upload(collection.upsert, rows, UploadPlan(batch_size, parallel)):
                tally.add(sent, None if session.as_json else progress)
                progress.advance(sent.read_bytes, tally.saved)
        finally:
            tally.took_s = progress.elapsed_s
            if sys.exc_info()[0] is not None:
                progress.print(f"Stopped: {tally.saved:,} documents are saved.")
    tally.print(session.as_json)
    if tally.bad:
        raise typer.Exit(1)


@dataclass
class _Tally:
    """What became of the rows so far."""

    saved: int = 0
    bad: "list[BadRow]" = field(default_factory=list)
    took_s: float = 0.0

    def add(self, sent: "Sent", progress: "UploadProgress | None") -> None:
        self.saved += sent.saved
        for row in sent.bad:
            self.bad.append(row)
            if progress is not None and len(self.bad) <= _SHOWN_BAD_ROWS:
                progress.print(printable(f"{row}"))

    def print(self, as_json: bool) -> None:
        rate = self.saved / max(self.took_s, 1e-3)
        if as_json:
            summary: dict[str, Any] = {
                "saved": self.saved,
                "bad": len(self.bad),
                "bad_rows": [asdict(row) for row in self.bad],
                "took_s": round(self.took_s, 3),
                "documents_per_s": round(rate, 1),
            }
            print_json(summary)
            return
        if len(self.bad) > _SHOWN_BAD_ROWS:
            more = len(self.bad) - _SHOWN_BAD_ROWS
            typer.echo(f"... and {more:,} more bad rows; --json lists them all", err=True)
        bad = f"; bad rows: {len(self.bad):,}" if self.bad else ""
        print_line(f"Saved {self.saved:,} documents in {self.took_s:.1f} s ({rate:,.0f}/s){bad}.")


def _read_all(
    sources: "list[SourceFile]", names: "FieldNames", accepts: "Accepts"
) -> "Iterator[Row | BadRow]":
    """The rows of all files, with the bytes read counted on from file to file."""
    from akidb_ray.ingest.files import read_rows
    from akidb_ray.ingest.rows import Row

    before = 0
    for source in sources:
        for row in read_rows(source, names, accepts):
            yield replace(row, read_bytes=before + row.read_bytes) if isinstance(row, Row) else row
        before += source.size_bytes
