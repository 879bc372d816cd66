"""What pydantic has against a value, as one of our errors, in our words."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter_operands import shown

SENTENCES = {
    "bool_parsing": "must be true or false, is {value}",
    "bool_type": "must be true or false, is {value}",
    "dict_type": "must be an object, is {value}",
    "enum": "must be {expected}, is {value}",
    "float_parsing": "must be a number, is {value}",
    "float_type": "must be a number, is {value}",
    "greater_than_equal": "must be {ge} or more, is {value}",
    "int_parsing": "must be a whole number, is {value}",
    "int_parsing_size": "must be a whole number of fewer digits, is {value}",
    "int_type": "must be a whole number, is {value}",
    "less_than_equal": "must be {le} at most, is {value}",
    "list_type": "must be a list, is {value}",
    "missing": "is required",
    "model_type": "must be an object, is {value}",
    "string_too_long": "must have {max_length} characters at most",
    "string_type": "must be a string, is {value}",
    "string_unicode": "is not valid Unicode: {value}",
}
"""For each kind of pydantic's complaints that our bodies and queries can meet. Others are ours."""

_UNKNOWN_FIELD = "unknown_field"
# What the APIs of other databases call fields that are there.
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "collection_name": ("name",),
    "distance": ("metric",),
    "ef": ("params",),
    "embedding": ("vector",),
    "exact": ("params",),
    "hnsw_ef": ("ef",),
    "k": ("limit",),
    "metadata": ("payload",),
    "n_results": ("limit",),
    "points": ("documents", "ids"),
    "query": ("vector", "text"),
    "query_filter": ("filter",),
    "query_vector": ("vector",),
    "size": ("dimension",),
    "top_k": ("limit",),
    "values": ("vector",),
    "where": ("filter",),
}
# Paths that begin with one of these go on with the number of a row.
_BATCHES = ("documents", "ids", "searches")
_LONGEST_SHOWN = 512
_LONGEST_COMPARED = 64


def complaint_of(error: ValidationError) -> InvalidArgument:
    """What it found first, with the field's path as a person writes it."""
    first = error.errors(include_url=False)[0]
    context, path = first.get("ctx", {}), [part for part in first["loc"] if part != "[key]"]
    if first["type"] == _UNKNOWN_FIELD:
        path.append(context["field"])
    sentence = SENTENCES.get(first["type"])
    reason = first["msg"]
    if sentence is not None:
        reason = sentence.format(**context, value=shown(first["input"]))
    row = path[1] if len(path) > 1 and path[0] in _BATCHES else None
    return InvalidArgument(_written(path) or "body", reason, row if isinstance(row, int) else None)


def unknown_field(name: str, known: Collection[str]) -> PydanticCustomError:
    """The complaint of a body that has a field `name`, which is none of these."""
    name = name[:_LONGEST_SHOWN].encode("utf-8", "backslashreplace").decode()
    reason = reason_of_unknown(name, known)
    return PydanticCustomError(_UNKNOWN_FIELD, "{reason}", {"field": name, "reason": reason})


def reason_of_unknown(name: str, known: Collection[str]) -> str:
    """Says what there is instead, first what was perhaps meant by the name."""
    meant = [one for one in _ELSEWHERE.get(name, ()) if one in known]
    if not meant and len(name) <= _LONGEST_COMPARED:
        meant = get_close_matches(name, known, n=1)
    hint = f"did you mean {' or '.join(meant)}? " if meant else ""
    return f"is not known here; {hint}known here: {', '.join(sorted(known)) or 'nothing'}"


def _written(path: Sequence[str | int]) -> str:
    """As a person writes it: `documents[1].id`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f"{'.' if text else ''}{part[:_LONGEST_SHOWN]}"
    return text
