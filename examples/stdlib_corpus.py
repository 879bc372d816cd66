"""The documentation of Python's standard library, read from the running interpreter.

One document per public module, class and function, and per method of the best-known classes. What
is deprecated is left out; what a module merely imports from another is that other's.
"""

import contextlib
import importlib
import inspect
import io
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stdlib_docstrings import docstring_of, is_deprecated, signature_of, summary_of

# Importing these prints, opens a window or a browser, or changes the terminal; or they are
# programs, parts of the interpreter, or other names of operators, and less a library.
_NOT_READ = """
    antigravity bdb cmath code codeop compileall curses dis doctest ensurepip idlelib lib2to3
    modulefinder opcode operator pdb pickletools pkgutil profile pty py_compile pyclbr pydoc
    pydoc_data readline rlcompleter runpy site sre_compile sre_constants sre_parse stat stringprep
    symtable sysconfig tabnanny test this tkinter token tokenize trace tracemalloc turtle turtledemo
    venv zipapp zipimport
"""

# Removed, or announced to be, in a version from 3.11 on (PEP 594, PEP 632). Not all of them say so.
_DEPRECATED = """
    aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp mailcap msilib nis
    nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib
"""

# Deprecated since 3.12, in C code that does not tell.
_DEPRECATED_NAMES = frozenset({"datetime.datetime.utcfromtimestamp", "datetime.datetime.utcnow"})

# What lies behind `os` and `os.path` on one platform or another.
_BEHIND_OS = "genericpath nt ntpath nturl2path posix posixpath"

LEFT_OUT = frozenset(f"{_NOT_READ} {_DEPRECATED} {_BEHIND_OS}".split())

# Public modules inside packages; those at the top are in `sys.stdlib_module_names`.
_SUBMODULES = """
    collections.abc concurrent.futures email.header email.message email.parser email.policy
    email.utils html.entities html.parser http.client http.cookiejar http.cookies http.server
    importlib.metadata importlib.resources importlib.util logging.config logging.handlers
    multiprocessing.connection multiprocessing.managers multiprocessing.pool
    multiprocessing.shared_memory os.path unittest.mock urllib.error urllib.parse urllib.request
    urllib.robotparser wsgiref.simple_server wsgiref.util xml.dom.minidom xml.etree.ElementTree
    xml.sax xml.sax.handler xml.sax.saxutils xmlrpc.client xmlrpc.server
"""

# Each of these has a document for every method, other than those of another one in the list.
_CLASSES_WITH_METHODS = """
    asyncio.Condition asyncio.Event asyncio.Lock asyncio.Queue asyncio.Semaphore
    asyncio.StreamReader asyncio.StreamWriter asyncio.Task asyncio.TaskGroup builtins.bytes
    builtins.dict builtins.float builtins.int builtins.list builtins.set builtins.str
    collections.ChainMap collections.Counter collections.OrderedDict collections.defaultdict
    collections.deque concurrent.futures.Executor concurrent.futures.Future contextlib.ExitStack
    csv.DictWriter datetime.date datetime.datetime datetime.time datetime.timedelta io.IOBase
    logging.Logger multiprocessing.Process multiprocessing.pool.Pool pathlib.Path pathlib.PurePath
    queue.Queue re.Match re.Pattern socket.socket sqlite3.Connection sqlite3.Cursor
    subprocess.Popen threading.Barrier threading.Condition threading.Event threading.Lock
    threading.Semaphore threading.Thread threading.Timer xml.etree.ElementTree.Element
    zipfile.ZipFile
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """The documentation of one name. `id` is the name that a program uses, with its module."""

    id: str
    module: str
    kind: str
    name: str
    signature: str
    summary: str

    def document(self) -> dict[str, Any]:
        """As the API takes it. Qualified name, signature and first paragraph are embedded."""
        return {
            "id": self.id,
            "text": f"{self.id}{self.signature}\n{self.summary}",
            "payload": {"module": self.module, "kind": self.kind, "name": self.name},
        }


def read_corpus() -> list[Entry]:
    """All entries, module by module; each object once, under its shortest public name."""
    with_methods = {found for path in _CLASSES_WITH_METHODS.split() if (found := _class_at(path))}
    entries: dict[str, Entry] = {}
    seen: set[int] = set()
    for name in module_names():
        module = import_quietly(name)
        doc = inspect.getdoc(module) or ""
        if module is None or is_deprecated(module, doc):
            continue
        if summary := summary_of(doc):
            short = name.rpartition(".")[2]
            entries.setdefault(name, Entry(name, name, "module", short, "", summary))
        for entry in _member_entries(name, module, seen, with_methods):
            entries.setdefault(entry.id, entry)
    return list(entries.values())


def _class_at(path: str) -> type | None:
    module, _, name = path.rpartition(".")
    found = getattr(import_quietly(module), name, None)
    return found if isinstance(found, type) else None


def module_names() -> list[str]:
    """Builtins first, then by depth and name: who comes first keeps what several have."""
    top = {name for name in sys.stdlib_module_names if not name.startswith("_")} - LEFT_OUT
    names = top | {name for name in _SUBMODULES.split() if name.partition(".")[0] in top}
    return sorted(names, key=lambda name: (name != "builtins", name.count("."), name))


def import_quietly(name: str) -> ModuleType | None:
    """The module; None when this platform has none, or when it says that it is deprecated."""
    silence = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        warnings.simplefilter("always")
        try:
            module = importlib.import_module(name)
        except Exception:
            return None
    said = [w for w in caught if issubclass(w.category, DeprecationWarning)]
    return None if any(repr(name) in str(w.message) for w in said) else module


def _member_entries(
    name: str, module: ModuleType, seen: set[int], with_methods: set[type]
) -> Iterator[Entry]:
    prefix = "" if name == "builtins" else f"{name}."
    for member, value in _members(name, module):
        if id(value) in seen or not (isinstance(value, type) or inspect.isroutine(value)):
            continue
        seen.add(id(value))
        kind = "class" if isinstance(value, type) else "function"
        if entry := _entry(f"{prefix}{member}", name, kind, value):
            yield entry
        if isinstance(value, type) and value in with_methods:
            for method in _methods(value, with_methods):
                documented = getattr(value, method)
                if entry := _entry(f"{prefix}{member}.{method}", name, "method", documented):
                    yield entry


def _members(name: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public members that are the module's own, not imports that it uses."""
    listed = getattr(module, "__all__", None)
    for member in sorted(listed or vars(module)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value = getattr(module, member)
            except Exception:
                # Not every platform has every name.
                continue
        # Asking for a deprecated name makes a warning.
        if member.startswith("_") or any("deprecat" in str(w.message) for w in caught):
            continue
        home = str(getattr(value, "__module__", None) or name).lstrip("_").partition(".")[0]
        if listed or home == name.partition(".")[0] or name == "builtins":
            yield member, value


def _methods(of: type, with_methods: set[type]) -> Iterator[str]:
    """Names of public methods, without those that another documented class gave to this one."""
    for name in sorted(dir(of)):
        if name.startswith("_"):
            continue
        owner = next((base for base in of.__mro__ if name in vars(base)), object)
        raw = vars(owner).get(name)
        if owner is not of and (owner in with_methods or owner.__module__ == "builtins"):
            continue
        if inspect.isroutine(raw) or isinstance(raw, (classmethod, staticmethod)):
            yield name


def _entry(id: str, module: str, kind: str, value: Any) -> Entry | None:
    """None for what has no documentation, or is deprecated."""
    doc = docstring_of(value)
    summary = summary_of(doc)
    if not summary or id in _DEPRECATED_NAMES or is_deprecated(value, doc):
        return None
    signature = signature_of(value, doc, is_method=kind == "method")
    return Entry(id, module, kind, id.rpartition(".")[2], signature, summary)
