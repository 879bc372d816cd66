"""The catalog's actor as a plain class: it opens its own store only."""

from pathlib import Path

import pytest

from akidb_ray.cluster.catalog_actor import CATALOG_FILE, CatalogActor
from akidb_ray.domain.errors import NotFound, Unavailable


async def test_it_makes_the_catalog_once_and_opens_it_again(tmp_path: Path) -> None:
    first = CatalogActor(str(tmp_path), 0.1)
    cluster_id = await first.cluster_id()
    await first.perform("create_tenant", "Acme")
    await first.stop()
    second = CatalogActor(str(tmp_path), 0.1)
    assert await second.cluster_id() == cluster_id
    assert (await second.perform("get_tenant", "acme")).name == "Acme"
    await second.stop()


async def test_two_at_once_are_refused(tmp_path: Path) -> None:
    first = CatalogActor(str(tmp_path), 0.1)
    await first.cluster_id()
    with pytest.raises(Unavailable, match="another process"):
        await CatalogActor(str(tmp_path), 0.1).cluster_id()
    await first.stop()


async def test_a_lost_catalog_beside_stores_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "stores" / "0000").mkdir(parents=True)
    actor = CatalogActor(str(tmp_path), 0.1)
    with pytest.raises(NotFound):
        await actor.cluster_id()
    assert not (tmp_path / "catalog" / CATALOG_FILE).exists()
    await actor.stop()
