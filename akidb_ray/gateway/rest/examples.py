"""Examples of whole bodies, put together from those of their fields."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
_OF_FORMATS = {"date-time": "2026-01-31T12:00:00Z"}
_OF_TYPES = {"string": "...", "integer": 1, "number": 1.0, "boolean": False, "null": None}


def example_of(schema: Schema, schemas: Schema) -> Any:
    """A value that fits. Of fields that may be left out, it has those that have an example."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    if schema.get("type") == "object":
        return _object(schema, schemas)
    return _OF_FORMATS.get(schema.get("format", ""), _OF_TYPES[schema["type"]])


def _object(schema: Schema, schemas: Schema) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        name: example_of(field, schemas)
        for name, field in schema.get("properties", {}).items()
        if name in required or "examples" in field
    }
