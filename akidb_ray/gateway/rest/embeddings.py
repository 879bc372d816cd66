"""`POST /v1/embeddings`, as clients of OpenAI send it.

https://platform.openai.com/docs/api-reference/embeddings
"""

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from akidb_ray.domain.errors import AkiDBError, InvalidArgument, TooLarge
from akidb_ray.gateway.rest.answers import json_response
from akidb_ray.gateway.rest.bodies import Body, WholeNumber
from akidb_ray.gateway.rest.context import Caller, Use
from akidb_ray.gateway.rest.leaving import reads_only
from akidb_ray.gateway.rest.problems import OPENAI_PATH
from akidb_ray.gateway.rest.schemas import Answer
from akidb_ray.gateway.rest.vectors import EncodingFormat, encode_vector

router = APIRouter(tags=["embeddings"])
# What the use case calls the fields of these requests.
_NAMES = {"texts": "input", "dimension": "dimensions"}


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
    index: int = Field(examples=[0])
    embedding: list[float] | str = Field(examples=[[0.1, 0.2]])


class UsageAnswer(Answer):
    """Tokens are not counted: both are 0."""

    prompt_tokens: int = Field(examples=[0])
    total_tokens: int = Field(examples=[0])


class EmbeddingsAnswer(Answer):
    object: Literal["list"]
    data: list[EmbeddingAnswer]
    model: str = Field(examples=["all-MiniLM-L6-v2"])
    usage: UsageAnswer


@router.post(
    OPENAI_PATH,
    summary="Embed texts, as OpenAI's clients ask for it",
    description="Texts are embedded as documents are. A text that is longer than the model reads "
    "is cut. Problem documents have the member `error` of OpenAI's errors too.",
    response_model=EmbeddingsAnswer,
)
@reads_only
async def create_embeddings(services: Use, caller: Caller, body: EmbeddingsBody) -> Response:
    texts = _texts(body.input)
    try:
        embedded = await services.embeddings.embed(
            caller, body.model, texts, "document", body.dimensions
        )
    except (InvalidArgument, TooLarge) as error:
        raise _as_asked(error) from None
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
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidArgument(f"input[{row}]", "must be a text; tokens are not taken", row)
    return texts


def _as_asked(error: InvalidArgument | TooLarge) -> AkiDBError:
    """The same complaint, with the name that OpenAI gives to the field."""
    field = str(error.fields["field"])
    if isinstance(error, TooLarge):
        return TooLarge(_NAMES.get(field, field), error.fields["limit"], error.fields["unit"])
    name, bracket, rest = field.partition("[")
    field = f"{_NAMES.get(name, name)}{bracket}{rest}"
    return InvalidArgument(field, error.fields["reason"], error.fields.get("row"))
