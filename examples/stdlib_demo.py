"""The demo: search Python's documentation by meaning, and lose nothing when it is killed.

It starts a database of its own in a temporary folder, ingests the documentation of the standard
library, asks it five questions, kills the whole cluster, starts it again on the same folder, and
asks again. The exit code says whether all of that went well.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdlib_corpus import read_corpus

from akidb_ray.cli.client import ApiError, Client, CollectionClient
from akidb_ray.cli.output import shown
from akidb_ray.cli.progress import UploadProgress
from akidb_ray.cli.uploading import UploadPlan, upload
from akidb_ray.cluster.local_ray import end_processes, free_ports, instance_folder, instance_id
from akidb_ray.domain.errors import AkiDBError, Unavailable
from akidb_ray.ingest.rows import Row, encode_document

COLLECTION = "stdlib"
LIMIT = 3
READY_TIMEOUT_S = 120.0
INDEX_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
SCORE_TOLERANCE = 1e-3
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in which module only, and what is expected as the best answer."""

    words: str
    module: str | None = None
    expected: str | None = None

    def query(self) -> dict[str, Any]:
        query: dict[str, Any] = {"text": self.words, "limit": LIMIT}
        if self.module is not None:
            query["filter"] = {"must": [{"key": "module", "match": {"value": self.module}}]}
        return query


QUESTIONS = (
    Question("copy a whole directory tree", expected="shutil.copytree"),
    Question("run a function in another process"),
    Question("parse an ISO date"),
    Question("find the most common elements"),
    Question("wait until something has finished, with a timeout", module="asyncio"),
)

Found = list[tuple[str, float]]
Answers = list[Found]


class DemoFailed(Exception):
    """The database did not do what the demo is there to show."""


class Server:
    """`akidb serve` in a process of its own, on one data folder."""

    def __init__(self, data_dir: Path, log: Path) -> None:
        self._data_dir = data_dir
        self._log = log
        self._port = free_ports(1)[0]
        self._key = secrets.token_urlsafe(32)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def client(self) -> Client:
        return Client(self.url, self._key)

    def start(self) -> None:
        """Start, and return when it answers. Raises DemoFailed with what it said last."""
        command = [
            sys.executable, "-m", "akidb_ray.cli.main", "serve",
            f"--data-dir={self._data_dir}",
            "--host=127.0.0.1", f"--port={self._port}", "--grpc-port=0",
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "AKIDB_ROOT_KEY": self._key},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us: we stop the server ourselves.
                start_new_session=True,
            )
        self._wait_until_ready(self._process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        with self.client() as client:
            while time.monotonic() < give_up_at:
                if process.poll() is not None:
                    raise DemoFailed(f"the server ended by itself:\n{self._said()}")
                try:
                    client.get("/readyz")
                    return
                except (ApiError, Unavailable):
                    time.sleep(_POLL_S)
        raise DemoFailed(f"not ready after {READY_TIMEOUT_S:.0f} s:\n{self._said()}")

    def kill(self) -> int:
        """SIGKILL to every process of the cluster; return how many there were."""
        killed = 0
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            killed = 1
        return killed + end_processes(instance_id(self._data_dir))

    def stop(self) -> None:
        """SIGTERM. Raises DemoFailed when it does not end, or leaves a process behind."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"still there {STOP_TIMEOUT_S:.0f} s after SIGTERM") from None
        left = end_processes(instance_id(self._data_dir))
        if left or code:
            raise DemoFailed(f"ended with {code} and left {left} processes:\n{self._said()}")

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def remove_scratch(self) -> None:
        """Remove the sockets and logs, which lie outside the data folder."""
        shutil.rmtree(instance_folder(instance_id(self._data_dir)), ignore_errors=True)


def main() -> None:
    began = time.monotonic()
    try:
        with running_server() as server:
            demonstrate(server)
    except (DemoFailed, ApiError, AkiDBError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\nDone in {time.monotonic() - began:.0f} s. To go on by yourself: akidb serve")


@contextmanager
def running_server() -> Iterator[Server]:
    """A server on a folder of its own, of which nothing is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="akidb-demo-") as folder:
        server = Server(Path(folder) / "data", Path(folder) / "serve.log")
        step("Starting a database in a temporary folder (Ray, catalog, shards, model)")
        try:
            server.start()
            yield server
        finally:
            server.kill()
            server.remove_scratch()


def demonstrate(server: Server) -> None:
    with server.client() as client:
        collection = CollectionClient(client, "default", "default", COLLECTION)
        saved = ingest(client, collection)
        wait_for_index(collection)
        step("Asking")
        answers = ask(collection, shown_too=True)
        count = collection.count()
    if count != saved:
        raise DemoFailed(f"{saved} documents were acknowledged, and {count} are there")
    check_expected(answers)
    step("Killing every process of the cluster with SIGKILL")
    print(f"  {server.kill()} processes killed")
    step("Starting again on the same folder")
    server.start()
    with server.client() as client:
        collection = CollectionClient(client, "default", "default", COLLECTION)
        check_same(count, answers, collection)
    step("Stopping with SIGTERM")
    server.stop()
    print("  stopped, and no process is left")


def ingest(client: Client, collection: CollectionClient) -> int:
    """Make the collection and fill it; return how many documents were acknowledged."""
    rows = [
        Row(entry.module, number, entry.id, encode_document(entry.document()), number)
        for number, entry in enumerate(read_corpus(), 1)
    ]
    step(f"Ingesting {len(rows):,} documents of Python's standard library")
    settings = {"name": COLLECTION, "embedding_model": "all-MiniLM-L6-v2", "shard_count": 2}
    client.post("/v2/tenants/default/databases/default/collections", settings)
    saved = 0
    with UploadProgress(len(rows)) as progress:
        for sent in upload(collection.upsert, rows, UploadPlan()):
            if sent.bad:
                raise DemoFailed(f"refused: {sent.bad[0]}")
            saved += sent.saved
            progress.advance(saved, saved)
        took_s = progress.elapsed_s
    print(f"  {saved:,} documents embedded and stored in {took_s:.1f} s ({saved / took_s:.0f}/s)")
    return saved


def wait_for_index(collection: CollectionClient) -> None:
    """Wait until all graphs are built; what is too little for one is compared one by one."""
    step("Waiting for the index")
    give_up_at = time.monotonic() + INDEX_TIMEOUT_S
    while True:
        status = collection.describe()["status"]
        if not status["indexing"]:
            break
        if time.monotonic() > give_up_at:
            raise DemoFailed(f"{status['unindexed']} documents are not indexed yet")
        time.sleep(_POLL_S)
    indexed = status["documents"] - status["unindexed"]
    print(f"  {indexed:,} in HNSW graphs, {status['unindexed']:,} compared one by one")


def ask(collection: CollectionClient, shown_too: bool) -> Answers:
    """The ids and scores of the answers to each question."""
    answers = []
    for question in QUESTIONS:
        results = collection.search(question.query())["results"]
        if shown_too:
            show(question, results)
        answers.append([(result["id"], result["score"]) for result in results])
    return answers


def show(question: Question, results: Sequence[dict[str, Any]]) -> None:
    where = f" (in {question.module})" if question.module else ""
    print(f"\n  {question.words}{where}")
    for result in results:
        # The first line of the text is the signature; the second, what it does.
        words = shown(result["text"].partition("\n")[2])
        words = words if len(words) <= 70 else f"{words[:69]}…"
        print(f"    {result['score']:.3f}  {result['id']:<34} {words}")


def check_expected(answers: Answers) -> None:
    for question, found in zip(QUESTIONS, answers, strict=True):
        if not found:
            raise DemoFailed(f"no answer to {question.words!r}")
        if question.expected not in (None, found[0][0]):
            raise DemoFailed(
                f"{question.words!r} gave {found[0][0]} rather than {question.expected}"
            )


def check_same(count: int, answers: Answers, collection: CollectionClient) -> None:
    now = collection.count()
    if now != count:
        raise DemoFailed(f"there were {count} documents, and now there are {now}")
    again = ask(collection, shown_too=False)
    for question, before, after in zip(QUESTIONS, answers, again, strict=True):
        if not same(before, after):
            raise DemoFailed(f"{question.words!r} gave {before}, and now {after}")
    print(f"  {now:,} documents are there, and all {len(QUESTIONS)} answers are the same")


def same(before: Found, after: Found) -> bool:
    """The same documents in the same order. Scores are sums of floats, in whichever order."""
    return [id for id, _ in before] == [id for id, _ in after] and all(
        abs(score - again) < SCORE_TOLERANCE
        for (_, score), (_, again) in zip(before, after, strict=True)
    )


def step(what: str) -> None:
    print(f"\n{what} ...", flush=True)


if __name__ == "__main__":
    main()
