"""A collection over four shards, and documents for it whose distances are easy to say."""

import base64
from typing import Any

import httpx
import numpy as np

from tests.in_process import MODEL
from tests.serving import COLLECTIONS

FILMS = f"{COLLECTIONS}/films"
TEXTS = f"{COLLECTIONS}/texts"
ORIGIN = [0.0] * 16


def vector(number: int) -> np.ndarray:
    """As far from the origin as the number says."""
    made = np.zeros(16, np.float32)
    made[number % 16] = number
    return made


def film(number: int) -> dict[str, Any]:
    return {
        "id": f"tt{number:02}",
        "vector": vector(number).tolist(),
        "text": f"film {number}",
        "payload": {"year": 1900 + number, "genres": ["drama", f"g{number % 3}"]},
    }


def base64_of(numbers: Any) -> str:
    return base64.b64encode(np.asarray(numbers, "<f4").tobytes()).decode()


async def make_films(client: httpx.AsyncClient) -> None:
    """`films` takes vectors under l2 on four shards; `texts` embeds on two."""
    settings = {"name": "films", "dimension": 16, "metric": "l2", "shard_count": 4}
    assert (await client.post(COLLECTIONS, json=settings)).status_code == 201
    settings = {"name": "texts", "embedding_model": MODEL, "shard_count": 2}
    assert (await client.post(COLLECTIONS, json=settings)).status_code == 201


async def put(client: httpx.AsyncClient, *numbers: int, **rest: Any) -> dict[str, Any]:
    body = {"documents": [film(number) for number in numbers], **rest}
    response = await client.put(f"{FILMS}/documents", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """The answer to what must succeed, of a path below that of the collection."""
    response = await client.post(f"{FILMS}{path}", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["results"]]
