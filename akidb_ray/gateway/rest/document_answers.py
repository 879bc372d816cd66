"""Documents and what searches find as JSON objects, the way clients see them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from akidb_ray.domain.document import NEVER, StoredDocument
from akidb_ray.domain.filter import Scalar
from akidb_ray.domain.query import Explanation, Facet, Group, Hit
from akidb_ray.gateway.rest.vectors import EncodingFormat, encode_vector
from akidb_ray.service.search import SearchAnswer

_LEAST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**64 - 1


def document_json(document: StoredDocument, encoding: EncodingFormat) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": document.id, "version": document.version}
    _add_contents(shown, document, encoding)
    if document.expires_at != NEVER:
        shown["expires_at"] = document.expires_at
    return shown


def hits_json(hits: Sequence[Hit], encoding: EncodingFormat) -> list[dict[str, Any]]:
    shown = []
    for hit in hits:
        found: dict[str, Any] = {"id": hit.id, "score": hit.score, "version": hit.version}
        _add_contents(found, hit, encoding)
        shown.append(found)
    return shown


def found_json(answer: SearchAnswer, encoding: EncodingFormat) -> dict[str, Any]:
    shown: dict[str, Any] = {"results": hits_json(answer.hits, encoding)}
    if answer.missing_shards:
        shown["missing_shards"] = answer.missing_shards
    if answer.explanation is not None:
        shown["explanation"] = explanation_json(answer.explanation)
    return shown


def group_json(group: Group, encoding: EncodingFormat) -> dict[str, Any]:
    return {"value": _scalar_json(group.value), "results": hits_json(group.hits, encoding)}


def facet_json(facet: Facet) -> dict[str, Any]:
    return {"value": _scalar_json(facet.value), "count": facet.count}


def explanation_json(shards: Sequence[tuple[int, Explanation]]) -> list[dict[str, Any]]:
    return [
        {
            "shard": number,
            "took_ms": _rounded(explanation.took_ms),
            "segments": [
                {
                    "rows": plan.rows,
                    "allowed": plan.allowed,
                    "way": plan.way,
                    "candidates": plan.candidates,
                    "widened": plan.widened,
                    "took_ms": round(plan.took_ms, 3),
                }
                for plan in explanation.segments
            ],
        }
        for number, explanation in shards
    ]


def _rounded(took_ms: Mapping[str, float]) -> dict[str, float]:
    return {step: round(ms, 3) for step, ms in took_ms.items()}


def _scalar_json(value: Scalar) -> Any:
    # orjson refuses whole numbers of more than 64 bits.
    if isinstance(value, int) and not _LEAST_INTEGER <= value <= _LARGEST_INTEGER:
        return orjson.Fragment(str(value))
    return value


def _add_contents(
    shown: dict[str, Any], document: StoredDocument | Hit, encoding: EncodingFormat
) -> None:
    if document.text is not None:
        shown["text"] = document.text
    if document.payload is not None:
        # Stored as JSON already: passed through without parsing it.
        shown["payload"] = orjson.Fragment(document.payload)
    if document.vector is not None:
        shown["vector"] = encode_vector(document.vector, encoding)
