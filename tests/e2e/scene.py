"""The collections that scenarios play in, made through REST."""

from collections.abc import Sequence

import httpx

from tests.e2e.steps import ASLEEP, MODEL, SMALL, TEXTS, VECTORS, Step
from tests.serving import COLLECTIONS

_WIDE = {"dimension": 16, "metric": "l2"}
_ALL = {
    VECTORS: {**_WIDE, "shard_count": 3},
    TEXTS: {"embedding_model": MODEL, "shard_count": 2},
    SMALL: {**_WIDE, "max_doc_count": 2},
}


async def set_scene(client: httpx.AsyncClient, steps: Sequence[Step]) -> None:
    """Make what these steps need, and empty what is there."""
    for name in {step.collection for step in steps} & _ALL.keys():
        await client.delete(f"{COLLECTIONS}/{name}")
        made = await client.post(COLLECTIONS, json={"name": name, **_ALL[name]})
        assert made.status_code == 201, made.text
    sleeps = any(step.tenant == ASLEEP for step in steps)
    if sleeps and (await client.get(f"/v2/tenants/{ASLEEP}")).status_code == 404:
        await _make_sleeping_tenant(client)


async def _make_sleeping_tenant(client: httpx.AsyncClient) -> None:
    databases = f"/v2/tenants/{ASLEEP}/databases"
    collections = f"{databases}/default/collections"
    for path, body in (
        ("/v2/tenants", {"name": "Asleep", "slug": ASLEEP}),
        (databases, {"name": "default"}),
        (collections, {"name": VECTORS, **_WIDE}),
        (f"/v2/tenants/{ASLEEP}/suspend", {}),
    ):
        made = await client.post(path, json=body)
        assert not made.is_error, made.text
