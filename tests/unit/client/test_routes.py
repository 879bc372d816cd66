"""The asynchronous client against the real routes, without sockets."""

import time

import akidb
import numpy as np
import pytest
from akidb import AsyncClient, AsyncCollection, BatchLimits, Document

from tests.in_process import MODEL
from tests.serving import ROOT_KEY

ROWS = 60
VECTORS = np.random.default_rng(7).normal(size=(ROWS, 16)).astype(np.float32)
IDS = [f"film-{row:02}" for row in range(ROWS)]
EVEN = {"must": [{"key": "even", "match": {"value": True}}]}


@pytest.fixture
async def films(client: AsyncClient) -> AsyncCollection:
    films = await client.create_collection("films", dimension=16, metric="cosine", shard_count=2)
    payloads = [{"row": row, "even": row % 2 == 0, "genre": f"g{row % 3}"} for row in range(ROWS)]
    written = await films.upsert(ids=IDS, vectors=VECTORS, payloads=payloads)
    assert (written.affected, written.skipped) == (ROWS, 0)
    return films


async def test_what_goes_in_as_arrays_comes_out_as_arrays(films: AsyncCollection) -> None:
    results = await films.search(vector=VECTORS[7], limit=3, with_vector=True)
    assert results[0].id == "film-07"
    assert results[0].payload == {"row": 7, "even": False, "genre": "g1"}
    assert results[0].vector.dtype == np.float32
    np.testing.assert_allclose(results[0].vector, VECTORS[7], rtol=1e-6)
    near = VECTORS @ VECTORS[7] / np.linalg.norm(VECTORS, axis=1)
    assert results.ids == [IDS[row] for row in np.argsort(-near)[:3]]


async def test_searches_take_filters_offsets_thresholds_and_documents(
    films: AsyncCollection,
) -> None:
    every = await films.search(vector=VECTORS[0], limit=30, filter=EVEN, exact=True)
    assert len(every) == 30
    assert all(hit.payload and hit.payload["even"] for hit in every)
    rest = await films.search(vector=VECTORS[0], limit=30, offset=28, filter=EVEN, exact=True)
    assert rest.ids == every.ids[28:]
    near = await films.search(vector=VECTORS[0], score_threshold=0.999, explain=True)
    assert (near.ids, near.explanation is not None) == (["film-00"], True)
    like = await films.search(id="film-00", limit=5)
    assert "film-00" not in like.ids


async def test_a_batch_answers_what_its_searches_answer(films: AsyncCollection) -> None:
    both = await films.search_batch([{"vector": VECTORS[row], "limit": 2} for row in (3, 4)])
    assert [isinstance(each, akidb.Results) and each.ids[0] for each in both] == [IDS[3], IDS[4]]


async def test_groups_and_facets(films: AsyncCollection) -> None:
    groups = await films.search_groups("genre", vector=VECTORS[4], limit=2, size=2, exact=True)
    assert groups[0].value == "g1"
    assert [len(group.hits) for group in groups] == [2, 2]
    assert groups[0].hits[0].id == "film-04"
    facets = await films.facets("genre", filter=EVEN)
    assert ({facet.value: facet.count for facet in facets}, facets.exact) == (
        {"g0": 10, "g1": 10, "g2": 10},
        True,
    )


async def test_a_scroll_goes_over_all_pages_in_the_order_of_ids(films: AsyncCollection) -> None:
    documents = [document async for document in films.scroll(page_size=7, with_vector=True)]
    assert [document.id for document in documents] == IDS
    np.testing.assert_allclose(documents[5].vector, VECTORS[5], rtol=1e-6)
    bare = [document async for document in films.scroll(filter=EVEN, with_payload=False)]
    assert [document.id for document in bare] == IDS[::2]
    assert bare[0].payload is None


async def test_patches_and_deletions_by_ids_and_filter(films: AsyncCollection) -> None:
    patched = await films.patch({"set": {"seen": True}, "unset": ["genre"]}, ids=["film-01", "x"])
    assert (patched.affected, patched.skipped) == (1, 1)
    assert (await films.get("film-01")).payload == {"row": 1, "even": False, "seen": True}
    deleted = await films.delete(filter=EVEN)
    assert (deleted.affected, await films.count()) == (30, 30)
    assert (await films.delete(ids=["film-01"])).affected == 1
    assert [document and document.id for document in await films.get_many(IDS[:4])] == [
        None,
        None,
        None,
        "film-03",
    ]
    with pytest.raises(akidb.NotFound):
        await films.get("film-01")


async def test_conditions_of_writes(films: AsyncCollection) -> None:
    stored = await films.get("film-00")
    again = Document("film-00", vector=VECTORS[0], payload={"row": 100})
    skipped = await films.upsert([again], mode="insert")
    assert (skipped.affected, skipped.skipped) == (0, 1)
    await films.upsert([again], if_versions={"film-00": stored.version})
    with pytest.raises(akidb.PreconditionFailed):
        await films.upsert([again], if_versions={"film-00": stored.version})
    held = await films.upsert([again], only_if={"row": 0}, durability="buffered")
    assert held.skipped == 1


async def test_a_write_is_seen_by_who_names_its_version(films: AsyncCollection) -> None:
    written = await films.upsert([{"id": "new", "vector": VECTORS[3]}])
    results = await films.search(vector=VECTORS[3], limit=2, min_version=written.version)
    assert set(results.ids) == {"new", "film-03"}
    version = (written + await films.delete(ids=["film-00"])).version
    assert version is not None
    assert version.count(",") == 1
    assert (await films.get("new", min_version=version)).id == "new"
    assert await films.get_many(["new", "film-00"], min_version=version) != [None, None]
    assert await films.count(min_version=version) == ROWS
    assert len([document async for document in films.scroll(min_version=version)]) == ROWS
    assert await films.facets("row", min_version=version)


async def test_every_read_takes_a_deadline(films: AsyncCollection) -> None:
    assert (await films.get("film-00", timeout_ms=60_000)).id == "film-00"
    assert len(await films.get_many(IDS, timeout_ms=60_000)) == ROWS
    assert await films.count(timeout_ms=60_000) == ROWS
    assert await films.facets("row", timeout_ms=60_000)
    assert len([document async for document in films.scroll(timeout_ms=60_000)]) == ROWS
    for reading in (
        films.get("film-00", timeout_ms=0),
        films.get_many(IDS, timeout_ms=0),
        films.count(timeout_ms=0),
        films.facets("row", timeout_ms=0),
        films.search(vector=VECTORS[3], timeout_ms=0),
        anext(aiter(films.scroll(timeout_ms=0))),
    ):
        with pytest.raises(akidb.InvalidArgument, match="timeout_ms"):
            await reading


async def test_a_version_of_another_collection_is_refused(
    films: AsyncCollection, client: AsyncClient
) -> None:
    other = await client.create_collection("other", dimension=16, metric="cosine", shard_count=2)
    wrong = (await other.upsert([{"id": "new", "vector": VECTORS[3]}])).version
    for reading in (
        films.get("film-00", min_version=wrong),
        films.get_many(IDS, min_version=wrong),
        films.count(min_version=wrong),
        films.facets("row", min_version=wrong),
        films.search(vector=VECTORS[3], min_version=wrong),
        anext(aiter(films.scroll(min_version=wrong))),
    ):
        with pytest.raises(akidb.InvalidArgument, match="another collection"):
            await reading


async def test_a_write_with_the_same_key_is_carried_out_once(films: AsyncCollection) -> None:
    first = await films.delete(filter=EVEN, idempotency_key="once")
    await films.upsert([{"id": "new", "vector": VECTORS[0], "payload": {"even": True}}])
    assert await films.delete(filter=EVEN, idempotency_key="once") == first
    assert await films.count(EVEN) == 1


async def test_documents_expire_when_they_say(films: AsyncCollection) -> None:
    later = round(time.time()) + 3600
    await films.upsert([Document("mortal", vector=VECTORS[0], expires_at=later)])
    assert (await films.get("mortal")).expires_at == later
    assert (await films.get("film-00")).expires_at is None


@pytest.mark.parametrize("name", ["a/b", "..", "ü 雪 %20?#", "get", "\n"])
async def test_an_id_may_have_any_characters(films: AsyncCollection, name: str) -> None:
    await films.upsert([Document(name, vector=VECTORS[0])])
    assert (await films.get(name, with_vector=True)).id == name


async def test_texts_are_embedded_and_looked_for(client: AsyncClient) -> None:
    notes = await client.create_collection("notes", embedding_model=MODEL)
    texts = ["Ray actors hold the shards.", "Bread needs flour, water and time."]
    await notes.upsert(ids=["1", "2"], texts=texts)
    for mode in ("vector", "keyword", "hybrid"):
        results = await notes.search(text="bread and water", mode=mode, limit=1)  # type: ignore[arg-type]
        assert (results.ids, results[0].text) == (["2"], texts[1])
    fused = await notes.search(
        text="actors",
        mode="hybrid",
        fusion={"method": "weighted", "weights": {"vector": 0.2, "text": 0.8}},
    )
    assert fused.ids[0] == "1"


async def test_a_bad_row_is_told_by_an_exception(client: AsyncClient) -> None:
    films = await client.create_collection("films", dimension=16)
    documents = [Document("a", vector=VECTORS[0]), Document("b", vector=[1.0])]
    with pytest.raises(akidb.InvalidArgument) as raised:
        await films.upsert(documents)
    error = raised.value
    assert (error.status, error.fields["row"], error.fields["field"]) == (
        422,
        1,
        "documents[1].vector",
    )
    assert error.request_id
    assert await films.count() == 0
    with pytest.raises(akidb.AlreadyExists):
        await client.create_collection("films", dimension=16)


async def test_tenants_databases_and_jobs(client: AsyncClient) -> None:
    acme = await client.tenants.create("Acme", slug="acme", metadata={"tier": "gold"})
    assert (acme.slug, acme.status, acme.settings["metadata"]) == (
        "acme",
        "active",
        {"tier": "gold"},
    )
    assert (await client.tenants.update("acme", {"name": "Acme Ltd"})).name == "Acme Ltd"
    with pytest.raises(akidb.PreconditionFailed):
        await client.tenants.update("acme", {"name": "x"}, if_version=acme.version)
    await client.databases.create("main", tenant="acme", description="all of it")
    changed = await client.databases.update("main", tenant="acme", description="less")
    assert changed.settings["description"] == "less"
    await client.create_collection("films", tenant="acme", database="main", dimension=16)
    listed = client.list_collections(tenant="acme", database="main", limit=1, descending=True)
    assert [info.name async for info in listed] == ["films"]
    assert [one.name async for one in client.databases.list(tenant="acme")] == ["main"]
    assert (await client.databases.get("main", tenant="acme")).state == "ready"
    assert await client.databases.delete("main", tenant="acme", cascade=True) is None
    assert (await client.tenants.suspend("acme")).status == "suspended"
    assert (await client.tenants.resume("acme")).status == "active"
    assert (await client.tenants.decommission("acme")).status == "decommissioned"
    assert await client.tenants.purge("acme") is None
    assert [tenant.slug async for tenant in client.tenants.list()] == ["default"]
    kinds = [job.kind async for job in client.jobs.list(state="succeeded")]
    assert kinds == ["delete_database", "purge_tenant"]


async def test_a_job_can_be_left_alone_and_waited_for(client: AsyncClient) -> None:
    await client.create_collection("films", dimension=16)
    job = await client.delete_collection("films", wait_s=0)
    if job is not None:
        assert (await client.jobs.wait(job.id)).state == "succeeded"
        assert (await client.jobs.get(job.id)).ended
    with pytest.raises(akidb.NotFound):
        await client.collection("films").info()


async def test_a_collection_tells_and_changes_what_it_is(client: AsyncClient) -> None:
    films = await client.create_collection("films", dimension=16, metric="l2", hnsw_m=8)
    info = await films.info()
    assert (info.metric, info.dimension, info.settings["hnsw_m"]) == ("l2", 16, 8)
    assert info.settings["status"]["documents"] == 0
    changed = await films.update(description="moving pictures", if_version=info.version)
    assert changed.settings["description"] == "moving pictures"


async def test_a_wrong_key_is_told(client: AsyncClient) -> None:
    transport = client._connection._http._transport
    async with AsyncClient("http://akidb", api_key=f"{ROOT_KEY}x", transport=transport) as other:
        with pytest.raises(akidb.Unauthenticated):
            await other.collection("films").count()


async def test_a_large_upload_goes_in_several_requests(client: AsyncClient) -> None:
    transport = client._connection._http._transport
    limits = BatchLimits(documents=7)
    shorter = [*VECTORS[:10], [1.0]]
    async with AsyncClient(
        "http://akidb", api_key=ROOT_KEY, transport=transport, batches=limits
    ) as small:
        films = await small.create_collection("films", dimension=16)
        written = await films.upsert(ids=IDS, vectors=VECTORS)
        assert (written.affected, len(written.versions)) == (ROWS, 9)
        assert await films.count() == ROWS
        with pytest.raises(akidb.InvalidArgument, match=r"^documents\[10\]\.vector \(row 10\)"):
            await films.upsert(ids=IDS[:11], vectors=shorter)
