"""Slugs of 1.x that look like ids would shadow the tenants of those ids."""

from akidb_ray.catalog.v1.translation import choose_slugs, differences, translate
from akidb_ray.domain.tenancy import check_slug
from tests.unit.catalog.test_v1_manifests import parsed
from tests.unit.catalog.v1_folders import NOW, manifest

ID = "0198c0de-7a11-7000-8000-000000000001"


def test_a_slug_that_looks_like_an_id_is_made_anew() -> None:
    for slug in (ID, ID.replace("-", "")):
        (chosen,) = choose_slugs([parsed(manifest(slug=slug, name="Acme"))], ()).values()
        assert chosen.slug == "acme"
        assert chosen.note == "slug is not valid; slug acme was made of the name"


def test_nor_is_one_made_of_a_name_that_looks_like_an_id() -> None:
    source = parsed(manifest(slug=ID, name=ID))
    (chosen,) = choose_slugs([source], ()).values()
    assert check_slug(chosen.slug) == f"tenant-{ID}"
    made = translate(source, chosen, NOW)
    assert list(differences(source, made.tenant, made.user)) == []
