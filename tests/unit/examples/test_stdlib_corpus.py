"""The demo's documents, read from this interpreter."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    # Programs in examples/ import each other as neighbours.
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("stdlib_corpus")
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def entries(corpus: ModuleType) -> dict[str, Any]:
    return {entry.id: entry for entry in corpus.read_corpus()}


def test_there_are_about_2500_with_different_ids(corpus: ModuleType) -> None:
    ids = [entry.id for entry in corpus.read_corpus()]
    assert 2_200 <= len(ids) <= 3_000
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("id", "kind", "module"),
    [
        ("shutil", "module", "shutil"),
        ("shutil.copytree", "function", "shutil"),
        ("os.path.join", "function", "os.path"),
        ("open", "function", "builtins"),
        ("str.split", "method", "builtins"),
        ("pathlib.Path.glob", "method", "pathlib"),
        ("datetime.date.fromisoformat", "method", "datetime"),
        ("subprocess.Popen.communicate", "method", "subprocess"),
        ("threading.Thread.join", "method", "threading"),
        ("socket.socket.connect", "method", "socket"),
        ("multiprocessing.Process", "class", "multiprocessing"),
        ("concurrent.futures.ProcessPoolExecutor", "class", "concurrent.futures"),
        ("collections.Counter.most_common", "method", "collections"),
        ("asyncio.wait_for", "function", "asyncio"),
        ("urllib.request.urlopen", "function", "urllib.request"),
    ],
)
def test_known_names_are_there(entries: dict[str, Any], id: str, kind: str, module: str) -> None:
    payload = {"module": module, "kind": kind, "name": id.rpartition(".")[2]}
    document = entries[id].document()
    assert (document["id"], document["payload"]) == (id, payload)
    assert document["text"].startswith(id)


def test_the_text_is_name_signature_and_first_paragraph(entries: dict[str, Any]) -> None:
    text = entries["shutil.copytree"].document()["text"]
    first, second = text.split("\n")
    assert first.startswith("shutil.copytree(src, dst, symlinks=False")
    assert second == "Recursively copy a directory tree and return the destination directory."


@pytest.mark.parametrize(
    "id",
    [
        "asyncore", "cgi", "distutils", "imp",
        "abc.abstractproperty", "configparser.RawConfigParser.readfp", "locale.getdefaultlocale",
        "pathlib.Path.link_to", "threading.Thread.setDaemon", "unittest.makeSuite",
        "urllib.request.URLopener",
    ],
)  # fmt: skip
def test_deprecated_names_are_left_out(entries: dict[str, Any], id: str) -> None:
    assert id not in entries


def test_no_entry_says_that_it_is_deprecated(entries: dict[str, Any]) -> None:
    texts = [entry.document()["text"] for entry in entries.values()]
    assert not [text for text in texts if "deprecat" in text.lower()]


@pytest.mark.parametrize("id", ["posixpath.join", "ntpath.join", "asyncio.queues.Queue", "json.re"])
def test_each_thing_has_its_public_name_only(entries: dict[str, Any], id: str) -> None:
    assert id not in entries


def test_reading_says_nothing(corpus: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    corpus.read_corpus()
    assert capfd.readouterr() == ("", "")


def test_signatures_hold_no_address_and_have_an_end(corpus: ModuleType) -> None:
    docstrings = sys.modules["stdlib_docstrings"]

    def changing(value: object = object(), function: object = len, *, kind: object = int) -> None:
        """Words."""

    many = "".join(f"parameter_{number}, " for number in range(50))
    signature_of = docstrings.signature_of
    assert signature_of(changing, "", False) == "(value=..., function=len, *, kind=int)"
    assert signature_of(len, "", False) == "(obj, /)"
    long = signature_of(eval(f"lambda {many}: 0"), "", False)
    assert long.startswith("(parameter_0, parameter_1, ")
    assert long.endswith(", ...)")
    assert len(long) < 200


def test_lines_that_only_repeat_the_signature_are_no_summary(corpus: ModuleType) -> None:
    summary_of = sys.modules["stdlib_docstrings"].summary_of
    assert summary_of("f(a) -> int -- return a.\nMore.") == "return a. More."
    assert (
        summary_of("f(a) -> (x,\n  y)\n\nReturns two\nnumbers.\n\nMore.") == "Returns two numbers."
    )
    assert summary_of("f() -> new f\nf(a) -> f of a") == "f() -> new f f(a) -> f of a"
    assert summary_of("") == ""
