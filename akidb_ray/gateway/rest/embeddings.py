"""`POST /v1/embeddings`, as clients of OpenAI send it.

https://platform.openai.com/docs/api-reference/embeddings
"""

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from akidb_ray.access.authorization import Action, Resource
from akidb_ray.domain.errors import InvalidArgument, TooLarge
from akidb_ray.gateway.rest.answers import json_response
from akidb_ray.gateway.rest.bodies import Body, WholeNumber
from akidb_ray.gateway.rest.context import Caller, Use
from akidb_ray.gateway.rest.json_route import JsonRoute
from akidb_ray.gateway.rest.problems import OPENAI_PATH
from akidb_ray.gateway.rest.schemas import Answer
from akidb_ray.gateway.rest.vectors import EncodingFormat, encode_vector

router = APIRouter(tags=["embeddings"], route_class=JsonRoute)
MAX_INPUTS = 2_048


class EmbeddingsBody(Body):
    model: str = Field(examples=["all-MiniLM-L6-v2"])
    input: Any = Field(
        description="A text, or up to 2,048 of them. Tokens are not taken.",
        json_schema_extra={
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
        },
        examples=["a heist that goes wrong"],
    )
    encoding_format: EncodingFormat = Field(
        EncodingFormat.FLOAT, description="`base64`: of little-endian float32."
    )
    dimensions: WholeNumber | None = Field(
        None, description="Must be the width of the model's vectors: they are not shortened."
    )
    user: str | None = Field(None, description="Taken, and not looked at.")


class EmbeddingAnswer(Answer):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class UsageAnswer(Answer):
    """Tokens are not counted: both are 0."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    object: Literal["list"]
    data: list[EmbeddingAnswer]
    model: str
    usage: UsageAnswer


@router.post(
    OPENAI_PATH,
    summary="Embed texts, as OpenAI's clients ask for it",
    description="Texts are embedded as documents are. A text that is longer than the model reads "
    "is cut. Problem documents have the member `error` of OpenAI's errors too.",
    response_model=EmbeddingsAnswer,
)
async def create_embeddings(services: Use, caller: Caller, body: EmbeddingsBody) -> Response:
    collections = services.collections
    resource = Resource("model", body.model, caller.tenant_id)
    collections.authorizer.authorize(caller, Action.READ_DOCUMENTS, resource)
    texts = _texts(body.input)
    try:
        width = collections.embedders.dimension(body.model)
    except InvalidArgument as error:
        raise InvalidArgument("model", error.fields["reason"]) from None
    if body.dimensions not in (None, width):
        raise InvalidArgument("dimensions", f"must be {width}, the width of {body.model}")
    embedded = await collections.embedders.embed(body.model, texts, "document")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": encode_vector(vector, body.encoding_format),
        }
        for index, vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return json_response({"object": "list", "data": data, "model": body.model, "usage": usage})


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise InvalidArgument("input", "must be a text or a list of texts")
    if not texts:
        raise InvalidArgument("input", "is empty")
    if len(texts) > MAX_INPUTS:
        raise TooLarge("input", MAX_INPUTS, "texts; send smaller batches")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidArgument(f"input[{row}]", "must be a text; tokens are not taken", row)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"input[{row}]", "is not valid Unicode", row) from None
    return texts
