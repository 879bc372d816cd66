"""Embeddings of texts that no document is made of: authorized, checked, embedded."""

from collections.abc import Sequence
from dataclasses import dataclass

from akidb_ray.access.authorization import Action, Authorizer, Principal, Resource
from akidb_ray.domain.errors import InvalidArgument, TooLarge
from akidb_ray.embedding.embedder import Embedded, TextKind
from akidb_ray.service.ports import Embedders

MAX_TEXTS = 2_048


@dataclass(frozen=True, slots=True)
class Embeddings:
    authorizer: Authorizer
    embedders: Embedders

    async def embed(
        self,
        principal: Principal,
        model: str,
        texts: Sequence[str],
        kind: TextKind = "document",
        dimension: int | None = None,
    ) -> Embedded:
        """One vector per text, float32 (n, width of the model), in their order.

        A `dimension` that is given must be the model's: vectors are not shortened. Raises
        Forbidden, InvalidArgument that names `model`, `dimension`, `texts` or a row of these,
        TooLarge for more than MAX_TEXTS texts, and what keeps the model from answering now.
        """
        resource = Resource("model", model, principal.tenant_id)
        self.authorizer.authorize(principal, Action.EMBED_TEXTS, resource)
        _check_texts(texts)
        try:
            width = self.embedders.dimension(model)
        except InvalidArgument as error:
            raise InvalidArgument("model", error.fields["reason"]) from None
        if dimension not in (None, width):
            raise InvalidArgument("dimension", f"must be {width}, the width of {model}")
        return await self.embedders.embed(model, texts, kind)


def _check_texts(texts: Sequence[str]) -> None:
    if not texts:
        raise InvalidArgument("texts", "is empty")
    if len(texts) > MAX_TEXTS:
        raise TooLarge("texts", MAX_TEXTS, "texts; send smaller batches")
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"texts[{row}]", "is not valid Unicode", row) from None
