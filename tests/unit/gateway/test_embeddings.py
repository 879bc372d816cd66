"""`POST /v1/embeddings`, as OpenAI's clients ask for it."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from tests.in_process import MODEL

PATH = "/v1/embeddings"


async def embed(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_texts_are_embedded_in_their_order(client: httpx.AsyncClient) -> None:
    answer = await embed(client, input=["rain", "snow"], user="me")
    assert answer["object"] == "list"
    assert answer["model"] == MODEL
    assert set(answer["usage"]) == {"prompt_tokens", "total_tokens"}
    assert [item["index"] for item in answer["data"]] == [0, 1]
    assert [item["object"] for item in answer["data"]] == ["embedding"] * 2
    snow = (await embed(client, input="snow"))["data"][0]["embedding"]
    assert answer["data"][1]["embedding"] == snow
    assert np.linalg.norm(snow) == pytest.approx(1, abs=1e-5)


async def test_base64_holds_the_same_numbers(client: httpx.AsyncClient) -> None:
    plain = (await embed(client, input="rain"))["data"][0]["embedding"]
    encoded = (await embed(client, input="rain", encoding_format="base64", dimensions=64))["data"]
    decoded = np.frombuffer(base64.b64decode(encoded[0]["embedding"]), "<f4")
    assert decoded.tolist() == np.asarray(plain, np.float32).tolist()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"input": "x", "model": "nope"}, 422, "model"),
        ({"input": "x", "model": None}, 422, "model"),
        ({}, 422, "input"),
        ({"input": []}, 422, "input"),
        ({"input": {}}, 422, "input"),
        ({"input": [1, 2]}, 422, "input[0]"),
        ({"input": ["x", [1]]}, 422, "input[1]"),
        ({"input": ["x"] * 2049}, 413, "input"),
        ({"input": "x", "dimensions": 32}, 422, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, 422, "encoding_format"),
        ({"input": "x", "inptu": "x"}, 422, "inptu"),
    ],
)
async def test_what_is_wrong_is_told_in_both_shapes(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, field: str
) -> None:
    refused = await client.post(PATH, json={"model": MODEL, **body})
    problem = refused.json()
    assert (refused.status_code, problem["field"]) == (status, field)
    assert problem["error"] == {
        "message": problem["detail"],
        "type": "invalid_request_error",
        "param": field,
        "code": problem["code"],
    }


async def test_half_of_a_surrogate_pair_is_refused(client: httpx.AsyncClient) -> None:
    content = rb'{"model": "hashing-64", "input": ["a", "\ud800"]}'
    refused = await client.post(PATH, content=content)
    assert (refused.status_code, refused.json()["field"]) == (422, "input[1]")


async def test_a_stranger_is_told_in_both_shapes(client: httpx.AsyncClient) -> None:
    refused = await client.post(PATH, json={}, headers={"authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "authentication_error"
    assert "error" not in (await client.get("/v2/tenants/nope")).json()
