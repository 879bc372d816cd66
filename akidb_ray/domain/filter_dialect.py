"""Filters with `$` operators, as users of Chroma, MongoDB and LangChain write them, translated.

An object holds when all its parts do: `{"genre": "drama", "year": {"$gte": 1990, "$lt": 2000}}`.
`$ne`, `$nin` and `$not` are complements: documents without the field pass them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import Clause, Exists, Filter, IsNull, Match
from akidb_ray.domain.filter_operands import (
    BOUNDS,
    CLAUSES,
    MAX_CONDITIONS,
    MIXED,
    check_depth,
    parse_bool,
    parse_key,
    parse_object,
    parse_range,
    parse_scalar,
    parse_scalars,
    parse_text,
    shown,
)
from akidb_ray.domain.filter_simplifying import simplified

_JOINTS = ("$and", "$or", "$nor")
_OPERATORS = (
    *("$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte"),
    *("$exists", "$contains", "$not"),
)


def parse_dialect(raw: Mapping[str, Any], field: str, depth: int = 1) -> Filter:
    """Translate an object of this dialect. Raises InvalidArgument that names the part."""
    check_depth(depth, field)
    if not raw:
        raise InvalidArgument(field, "is empty; give a field or an operator")
    if any(clause in raw for clause in CLAUSES):
        raise InvalidArgument(field, MIXED)
    return simplified([_parse_part(name, raw[name], f"{field}.{name}", depth) for name in raw])


def _parse_part(name: str, raw: Any, field: str, depth: int) -> Clause:
    if not name.startswith("$"):
        return _parse_field(parse_key(name, field), raw, field, depth)
    if name == "$not":
        return simplified(must_not=[parse_dialect(parse_object(raw, field), field, depth + 1)])
    if name not in _JOINTS:
        below = "; it stands below a field" if name in _OPERATORS else ""
        known = ", ".join((*_JOINTS, "$not"))
        raise InvalidArgument(field, f"is not known here{below}; known here: {known}, fields")
    if not isinstance(raw, list) or not raw:
        raise InvalidArgument(field, f"must be a list of one object or more, is {shown(raw)}")
    if len(raw) > MAX_CONDITIONS:
        raise InvalidArgument(field, f"has {len(raw)} objects; {MAX_CONDITIONS} are allowed")
    places = [(one, f"{field}[{row}]") for row, one in enumerate(raw)]
    parts = [parse_dialect(parse_object(one, place), place, depth + 1) for one, place in places]
    if name == "$and":
        return simplified(must=parts)
    return simplified(should=parts) if name == "$or" else simplified(must_not=parts)


def _parse_field(key: str, raw: Any, field: str, depth: int) -> Clause:
    if isinstance(raw, list):
        clauses = ", ".join(sorted(CLAUSES))
        reason = f"is not known; known here: {clauses}. If it is a field of the payload, give a"
        raise InvalidArgument(field, f'{reason} value, or a list of them as {{"$in": [...]}}')
    if isinstance(raw, Mapping):
        return _parse_operators(key, raw, field, depth)
    return _equal(key, raw, field)


def _parse_operators(key: str, raw: Any, field: str, depth: int) -> Filter:
    check_depth(depth, field)
    raw = parse_object(raw, field)
    unknown = [name for name in raw if name not in _OPERATORS]
    if unknown or not raw:
        known = f"known here: {', '.join(_OPERATORS)}; a field inside of an object is {key}.name"
        reason = "is not known" if unknown else "has no operator"
        raise InvalidArgument(f"{field}.{unknown[0]}" if unknown else field, f"{reason}; {known}")
    bounds = {name[1:]: raw[name] for name in raw if name[1:] in BOUNDS}
    clauses: list[Clause] = [parse_range(key, bounds, field, "$")] if bounds else []
    for name, operand in raw.items():
        if name == "$not":
            inner = _parse_operators(key, operand, f"{field}.$not", depth + 1)
            clauses.append(simplified(must_not=[inner]))
        elif name[1:] not in bounds:
            clauses.append(_READERS[name](key, operand, f"{field}.{name}"))
    return simplified(must=clauses)


def _equal(key: str, raw: Any, field: str) -> Clause:
    return IsNull(key) if raw is None else Match(key, (parse_scalar(raw, field),))


def _not_equal(key: str, raw: Any, field: str) -> Clause:
    return simplified(must_not=[_equal(key, raw, field)])


def _in(key: str, raw: Any, field: str) -> Clause:
    return Match(key, parse_scalars(raw, field))


def _not_in(key: str, raw: Any, field: str) -> Clause:
    return simplified(must_not=[_in(key, raw, field)])


def _exists(key: str, raw: Any, field: str) -> Clause:
    return Exists(key, parse_bool(raw, field))


_READERS: dict[str, Callable[[str, Any, str], Clause]] = {
    "$eq": _equal,
    "$ne": _not_equal,
    "$in": _in,
    "$nin": _not_in,
    "$exists": _exists,
    "$contains": parse_text,
}
