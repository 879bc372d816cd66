"""Embeddings of texts, for whoever may have them made."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from akidb_ray.access.authorization import ROOT, Principal
from akidb_ray.domain.errors import Forbidden, InvalidArgument, TooLarge
from akidb_ray.domain.ids import TenantId
from akidb_ray.embedding.models import load_embedder
from akidb_ray.service.embeddings import MAX_TEXTS, Embeddings
from tests.in_process import MODEL, running_database


@pytest.fixture
async def embeddings(tmp_path: Path) -> AsyncIterator[Embeddings]:
    async with running_database(tmp_path, stores=1) as database:
        yield database.services.embeddings


async def test_texts_become_the_vectors_of_the_model(embeddings: Embeddings) -> None:
    texts = ["a red river", "", "a red river"]
    embedded = await embeddings.embed(ROOT, MODEL, texts, "query", dimension=64)
    assert np.array_equal(embedded.vectors, load_embedder(MODEL).embed(texts, "query").vectors)
    assert embedded.truncated.tolist() == [False, False, False]


async def test_what_cannot_be_embedded_is_refused_by_its_name(embeddings: Embeddings) -> None:
    for model, texts, dimension, field in (
        (MODEL, [], None, "texts"),
        (MODEL, ["a", "\ud800"], None, "texts[1]"),
        ("unknown", ["a"], None, "model"),
        (MODEL, ["a"], 32, "dimension"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await embeddings.embed(ROOT, model, texts, "document", dimension)
        assert refused.value.fields["field"] == field
    with pytest.raises(TooLarge):
        await embeddings.embed(ROOT, MODEL, ["a"] * (MAX_TEXTS + 1), "document")


async def test_who_may_not_have_texts_embedded_learns_nothing_else(
    embeddings: Embeddings,
) -> None:
    stranger = Principal("stranger", TenantId.new())
    for model, texts in ((MODEL, ["a"]), ("unknown", []), (MODEL, ["a"] * (MAX_TEXTS + 1))):
        with pytest.raises(Forbidden):
            await embeddings.embed(stranger, model, texts, "document")
