from typing import Any

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.flattening import MAX_DEPTH, Mark, Point, flatten


def test_objects_and_arrays_are_opened() -> None:
    assert flatten(
        {
            "word": "blue",
            "nothing": None,
            "tags": ["x", 3, True, None],
            "place": {"city": "Rome", "at": {"lat": 41.9}},
            "items": [{"name": "pen", "price": 1}, {"name": "ink", "prices": [5, 7]}, 8],
            "grid": [[1, 2], [3], []],
        }
    ) == {
        "word": ["blue"],
        "nothing": [None],
        "tags": ["x", 3, True, None],
        "place": [Mark.OBJECT],
        "place.city": ["Rome"],
        "place.at": [Mark.OBJECT],
        "place.at.lat": [41.9],
        "items": [Mark.OBJECT, Mark.OBJECT, 8],
        "items[].name": ["pen", "ink"],
        "items[].price": [1],
        "items[].prices": [5, 7],
        "grid": [Mark.ARRAY, Mark.ARRAY, Mark.ARRAY],
        "grid[]": [1, 2, 3, Mark.EMPTY],
    }


def test_empty_array_and_empty_object_leave_a_mark() -> None:
    assert flatten({"a": [], "b": {}}) == {"a": [Mark.EMPTY], "b": [Mark.OBJECT]}


def test_same_path_written_twice_holds_both_values() -> None:
    assert flatten({"a.b": 1, "a": {"b": 2}})["a.b"] == [1, 2]


@pytest.mark.parametrize(
    ("value", "point"),
    [
        ({"lon": 12.5, "lat": 41.9}, Point(41.9, 12.5)),
        ({"lat": -90, "lon": 180, "name": "south"}, Point(-90.0, 180.0)),
        ({"lon": 180.1, "lat": 0}, Mark.OBJECT),
        ({"lon": 0, "lat": -90.1}, Mark.OBJECT),
        ({"lon": True, "lat": 0}, Mark.OBJECT),
        ({"lon": "1", "lat": 0}, Mark.OBJECT),
        ({"lon": 1}, Mark.OBJECT),
        ({"lon": float("nan"), "lat": 0}, Mark.OBJECT),
    ],
)
def test_point_is_an_object_with_degrees(value: dict[str, Any], point: object) -> None:
    flat = flatten({"at": value, "many": [value]})
    assert flat["at"] == flat["many"] == [point]
    assert (
        flat.get("at.lat") == flat.get("many[].lat") == ([value["lat"]] if "lat" in value else None)
    )


def test_payload_nested_too_deeply_is_refused() -> None:
    for wrap in (lambda inner: {"a": inner}, lambda inner: [inner]):
        payload: Any = 1
        for _ in range(MAX_DEPTH - 1):
            payload = wrap(payload)
        assert flatten({"a": payload})
        with pytest.raises(InvalidArgument, match="nested deeper"):
            flatten({"a": wrap(payload)})
