"""Filters from JSON: `must`, `should` and `must_not` over conditions, as Qdrant has them.

Objects of the other dialect, with `$` operators, go to `filter_dialect`. Whatever is unknown is an
error, never ignored: a filter with a slip of the pen must not let everything pass.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.filter import (
    EVERYTHING,
    Clause,
    Exists,
    Filter,
    GeoBox,
    GeoRadius,
    HasId,
    IsNull,
    KeyCondition,
    Match,
    MatchExcept,
    ValuesCount,
)
from akidb_ray.domain.filter_dialect import parse_dialect
from akidb_ray.domain.filter_operands import (
    BOUNDS,
    CLAUSES,
    MAX_CONDITIONS,
    MIXED,
    check_depth,
    parse_bool,
    parse_count,
    parse_key,
    parse_known,
    parse_list,
    parse_number,
    parse_object,
    parse_point,
    parse_range,
    parse_scalar,
    parse_scalars,
    parse_text,
    shown,
)
from akidb_ray.domain.filter_simplifying import count_conditions, simplified
from akidb_ray.domain.ids import check_document_id


def parse_filter(raw: Any, field: str = "filter") -> Filter:
    """Build a Filter from decoded JSON (None gives one that allows everything).

    Raises InvalidArgument that names the part, such as `filter.must[1].range.from`.
    """
    if raw is None:
        return EVERYTHING
    raw = parse_object(raw, field)
    native = not raw or any(clause in raw for clause in CLAUSES)
    if not native and "key" in raw and any(kind in raw for kind in _KINDS):
        raise InvalidArgument(field, 'is a condition; put it into a list: {"must": [...]}')
    filter = _parse_filter(raw, field, 1) if native else parse_dialect(raw, field)
    conditions = count_conditions(filter)
    if conditions > MAX_CONDITIONS:
        reason = f"has {conditions} conditions; {MAX_CONDITIONS} are allowed"
        raise InvalidArgument(field, f"{reason}, and one with 'any' takes many values")
    return filter


def _parse_filter(raw: Mapping[str, Any], field: str, depth: int) -> Filter:
    check_depth(depth, field)
    if any(key.startswith("$") for key in raw):
        raise InvalidArgument(field, MIXED)
    raw = parse_known(raw, CLAUSES, field)
    return simplified(
        *(_parse_clauses(raw.get(name, []), f"{field}.{name}", depth) for name in CLAUSES)
    )


def _parse_clauses(raw: Any, field: str, depth: int) -> list[Clause]:
    if isinstance(raw, Mapping):
        return [_parse_clause(raw, field, depth)]
    if not isinstance(raw, list):
        reason = f"must be a list of conditions, or one condition, is {shown(raw)}"
        raise InvalidArgument(field, reason)
    if len(raw) > MAX_CONDITIONS:
        raise InvalidArgument(field, f"has {len(raw)} conditions; {MAX_CONDITIONS} are allowed")
    return [_parse_clause(one, f"{field}[{row}]", depth) for row, one in enumerate(raw)]


def _parse_clause(raw: Any, field: str, depth: int) -> Clause:
    raw = parse_object(raw, field)
    if any(key.startswith("$") for key in raw):
        raise InvalidArgument(field, MIXED)
    if any(clause in raw for clause in CLAUSES):
        return _parse_filter(raw, field, depth + 1)
    if "has_id" in raw:
        return _parse_has_id(parse_known(raw, ["has_id"], field)["has_id"], f"{field}.has_id")
    raw = parse_known(raw, ["key", "has_id", *_KINDS], field)
    if isinstance(raw.get("is_null"), Mapping) and len(raw) == 1:
        named = parse_known(raw["is_null"], ["key"], f"{field}.is_null")
        return IsNull(parse_key(named.get("key"), f"{field}.is_null.key"))
    key = parse_key(raw.get("key"), f"{field}.key")
    kinds = [kind for kind in _KINDS if kind in raw]
    if len(kinds) != 1:
        reason = f"needs exactly one of {', '.join(_KINDS)}"
        raise InvalidArgument(field, f"{reason}, has {', '.join(kinds) or 'none'}")
    return _KINDS[kinds[0]](key, raw[kinds[0]], f"{field}.{kinds[0]}")


def _parse_has_id(raw: Any, field: str) -> HasId:
    ids = parse_list(raw, field)
    for row, id in enumerate(ids):
        if not isinstance(id, str):
            raise InvalidArgument(f"{field}[{row}]", f"must be a string, is {shown(id)}")
        check_document_id(id, f"{field}[{row}]")
    return HasId(tuple(ids))


def _parse_match(key: str, raw: Any, field: str) -> KeyCondition:
    known = ("value", "any", "except", "text", "phrase")
    raw = parse_known(raw, known, field)
    if len(raw) != 1:
        reason = f"needs exactly one of {', '.join(known)}"
        raise InvalidArgument(field, f"{reason}, has {', '.join(raw) or 'none'}")
    ((name, operand),) = raw.items()
    where = f"{field}.{name}"
    if name == "value":
        return Match(key, (parse_scalar(operand, where),))
    if name == "any":
        return Match(key, parse_scalars(operand, where))
    if name == "except":
        return MatchExcept(key, parse_scalars(operand, where))
    return parse_text(key, operand, where, phrase=name == "phrase")


def _parse_range(key: str, raw: Any, field: str) -> KeyCondition:
    return parse_range(key, _bounds(raw, field), field)


def _parse_values_count(key: str, raw: Any, field: str) -> KeyCondition:
    bounds = _bounds(raw, field)
    return ValuesCount(key, **{n: parse_count(bounds[n], f"{field}.{n}") for n in bounds})


def _bounds(raw: Any, field: str) -> Mapping[str, Any]:
    bounds = parse_known(raw, BOUNDS, field)
    if not bounds:
        raise InvalidArgument(field, f"needs at least one of {', '.join(BOUNDS)}")
    return bounds


def _parse_is_null(key: str, raw: Any, field: str) -> KeyCondition:
    return IsNull(key, parse_bool(raw, field))


def _parse_exists(key: str, raw: Any, field: str) -> KeyCondition:
    return Exists(key, parse_bool(raw, field))


def _parse_geo_radius(key: str, raw: Any, field: str) -> KeyCondition:
    raw = _parts(raw, ("center", "radius"), field)
    lon, lat = parse_point(raw["center"], f"{field}.center")
    radius_m = parse_number(raw["radius"], 0, sys.float_info.max, f"{field}.radius")
    return GeoRadius(key, lon, lat, radius_m)


def _parse_geo_box(key: str, raw: Any, field: str) -> KeyCondition:
    raw = _parts(raw, ("top_left", "bottom_right"), field)
    left, top = parse_point(raw["top_left"], f"{field}.top_left")
    right, bottom = parse_point(raw["bottom_right"], f"{field}.bottom_right")
    if top < bottom:
        reason = f"must not be south of bottom_right.lat ({bottom}), is {top}"
        raise InvalidArgument(f"{field}.top_left.lat", reason)
    return GeoBox(key, top, left, bottom, right)


def _parts(raw: Any, names: tuple[str, ...], field: str) -> Mapping[str, Any]:
    parts = parse_known(raw, names, field)
    for name in names:
        if name not in parts:
            raise InvalidArgument(f"{field}.{name}", f"is missing; give {' and '.join(names)}")
    return parts


_KINDS: dict[str, Callable[[str, Any, str], KeyCondition]] = {
    "match": _parse_match,
    "range": _parse_range,
    "is_null": _parse_is_null,
    "exists": _parse_exists,
    "values_count": _parse_values_count,
    "geo_radius": _parse_geo_radius,
    "geo_box": _parse_geo_box,
    "geo_bounding_box": _parse_geo_box,
}
