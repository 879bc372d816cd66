"""The official client of OpenAI against `/v1/embeddings`, over the wire."""

from collections.abc import Iterator

import numpy as np
import openai
import pytest

from akidb_ray.embedding.models import load_embedder
from tests.in_process import MODEL
from tests.over_wire import served_database
from tests.serving import ROOT_KEY

TEXTS = ["rain in the mountains", "the stock market fell", "☃ é"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served_database(tmp_path_factory.mktemp("database")) as url:
        yield f"{url}/v1"


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key=ROOT_KEY, max_retries=0) as client:
        yield client


def expected(texts: list[str]) -> np.ndarray:
    return load_embedder(MODEL).embed(texts, "document").vectors


def test_texts_are_embedded_in_numbers(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
    assert answer.object == "list"
    assert answer.model == MODEL
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert np.array_equal(
        np.array([item.embedding for item in answer.data], np.float32), expected(TEXTS)
    )
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (0, 0)


def test_the_format_that_the_client_asks_for_by_itself_is_understood(
    client: openai.OpenAI,
) -> None:
    # It asks for base64, and makes numbers of it.
    answer = client.embeddings.create(model=MODEL, input=TEXTS)
    assert np.array_equal(
        np.array([item.embedding for item in answer.data], np.float32), expected(TEXTS)
    )


def test_base64_is_given_as_it_is_to_who_asks_for_it(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="base64")
    assert isinstance(answer.data[0].embedding, str)


def test_one_text_is_embedded_as_a_list_of_one(client: openai.OpenAI) -> None:
    (item,) = client.embeddings.create(model=MODEL, input=TEXTS[0]).data
    assert np.array_equal(np.array(item.embedding, np.float32), expected(TEXTS[:1])[0])


def test_dimensions_must_be_those_of_the_model_and_user_is_ignored(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input="rain", dimensions=64, user="somebody")
    assert len(answer.data[0].embedding) == 64
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.embeddings.create(model=MODEL, input="rain", dimensions=32)
    assert refused.value.param == "dimensions"


def test_an_unknown_model_is_told_by_the_exception_of_the_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.embeddings.create(model="nope", input="rain")
    error = refused.value
    assert (error.type, error.param, error.code) == (
        "invalid_request_error",
        "model",
        "invalid_argument",
    )
    assert "is not served here" in str(error)
    assert error.request_id


def test_a_wrong_key_is_an_authentication_error(url: str) -> None:
    with (
        openai.OpenAI(base_url=url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.embeddings.create(model=MODEL, input="rain")
    assert refused.value.code == "unauthenticated"


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]]])
def test_tokens_are_refused(client: openai.OpenAI, given: list[int]) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.embeddings.create(model=MODEL, input=given)
    assert refused.value.param == "input[0]"


async def test_the_client_with_asyncio_does_the_same(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key=ROOT_KEY, max_retries=0) as client:
        answer = await client.embeddings.create(model=MODEL, input=TEXTS)
    assert np.array_equal(
        np.array([item.embedding for item in answer.data], np.float32), expected(TEXTS)
    )
