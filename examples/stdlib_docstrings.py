"""What a name of the standard library says of itself: signature, first paragraph, deprecation."""

import ast
import inspect
import re
import sys
import textwrap
from typing import Any

_MAX_SIGNATURE_CHARACTERS = 160
_SIGNATURE_LINE = re.compile(r"[\w.]+\((?P<parameters>.*)")
_NAMED = re.compile(r"<(?:function|built-in function|class) '?([\w.]+)'?(?: at 0x[0-9a-f]+)?>")
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+>")
_AFTER_DASHES = re.compile(r".*?\s--\s+(?P<words>\S.*)", re.DOTALL)
_DEPRECATED = re.compile(r"\bdeprecat", re.IGNORECASE)
_SAYS_IT_IS = re.compile(r"(?:This \w+ is )?deprecated\b", re.IGNORECASE)
_WARNS = {"DeprecationWarning", "_deprecated"}


def docstring_of(value: Any) -> str:
    """The docstring in force; for a class without one, its constructor's or a near base's."""
    if not isinstance(value, type):
        return inspect.getdoc(value) or ""
    for source in (value, vars(value).get("__init__")):
        if isinstance(doc := getattr(source, "__doc__", None), str):
            return inspect.cleandoc(doc)
    for base in value.__mro__[1:]:
        # A public base speaks for itself, and one of another package of something else.
        if _package(base) == _package(value) and not _is_public(base) and base.__doc__:
            return inspect.cleandoc(base.__doc__)
    return ""


def summary_of(doc: str) -> str:
    """The first paragraph in one line, after lines that only repeat the signature."""
    paragraphs = re.split(r"\n\s*\n", doc.strip())
    for paragraph in paragraphs:
        words = _without_signatures(paragraph)
        # Not an example, nor an aside.
        if " " in words and not words.startswith((">>>", "(")):
            return words
    # Signatures that tell their results are better than nothing.
    return " ".join(paragraphs[0].split()) if " -> " in paragraphs[0] else ""


def signature_of(value: Any, doc: str, is_method: bool) -> str:
    """Parameters in parentheses without types; empty where neither code nor docstring has them."""
    try:
        signature = inspect.signature(value)
        parameters = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in signature.parameters.values()
            if not (is_method and parameter.name == "self")
        ]
        shown = str(inspect.Signature(parameters))
    except (TypeError, ValueError):
        first = _SIGNATURE_LINE.match(doc.strip().partition("\n")[0])
        shown = f"({first['parameters'].partition(')')[0]})" if first else ""
    # An address in a default would differ from run to run.
    shown = _ADDRESS.sub("...", _NAMED.sub(r"\1", shown))
    if len(shown) > _MAX_SIGNATURE_CHARACTERS:
        shown = f"{shown[:_MAX_SIGNATURE_CHARACTERS].rpartition(', ')[0]}, ...)"
    return shown


def is_deprecated(value: Any, doc: str) -> bool:
    """Whether the documentation says so, or every call makes the warning.

    A warning that depends on a parameter deprecates only that.
    """
    first, *others = re.split(r"\n\s*\n", doc.strip())
    if _DEPRECATED.search(first) or any(_SAYS_IT_IS.match(each.strip()) for each in others):
        return True
    if hasattr(value, "__deprecated__"):
        return True
    if isinstance(value, type):
        return any(_always_warns(vars(base).get("__init__")) for base in value.__mro__)
    return _always_warns(getattr(value, "__func__", value))


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _is_public(kind: type) -> bool:
    package = sys.modules.get(_package(kind))
    return kind.__name__ in getattr(package, "__all__", ())


def _without_signatures(paragraph: str) -> str:
    lines = [line.strip() for line in paragraph.strip().splitlines()]
    while lines and _SIGNATURE_LINE.match(lines[0]) and _is_signature(lines[0]):
        taken = lines.pop(0)
        while lines and taken.count("(") > taken.count(")"):
            taken += lines.pop(0)
        if after := _AFTER_DASHES.fullmatch(taken):
            lines.insert(0, after["words"])
    if any("->" in line and _SIGNATURE_LINE.match(line) for line in lines):
        # Nothing but signatures, each with words behind its arrow: together they are the summary.
        lines = [line.strip() for line in paragraph.strip().splitlines()]
    return " ".join(lines)


def _is_signature(line: str) -> bool:
    """As C code writes them: `name(a, b) -> result`, and not a sentence that begins with a call."""
    rest = line.rpartition(")")[2].strip()
    return "->" in line or " -- " in line or rest in ("", ":") or line.count("(") > line.count(")")


def _always_warns(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    if code is None or not _WARNS & {*code.co_names, *code.co_freevars}:
        return "deprecated" in getattr(code, "co_name", "")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return False
    body = getattr(tree.body[0], "body", [])
    calls = [
        node for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    return any(name in ast.dump(call) for call in calls for name in _WARNS)
