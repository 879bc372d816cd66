"""Names and slugs: what they may look like."""

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.tenancy import check_name, check_slug, slug_from

ID = "0198c0de-7a11-7000-8000-000000000001"
HEX = ID.replace("-", "")


@pytest.mark.parametrize("text", [ID, HEX, HEX.upper(), f"0198-{HEX[4:]}", f"0x{'1' * 30}"])
def test_a_name_that_reads_as_an_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="must not look like an id"):
        check_name(text)


@pytest.mark.parametrize("text", [ID, HEX, f"0198-{HEX[4:]}"])
def test_a_slug_that_reads_as_an_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="must not look like an id"):
        check_slug(text)


@pytest.mark.parametrize("text", [f"{{{ID}}}", f"urn:uuid:{ID}", f"uuid:{ID}"])
def test_other_ways_to_write_an_id_are_no_names_either(text: str) -> None:
    for check in (check_name, check_slug):
        with pytest.raises(InvalidArgument):
            check(text)


@pytest.mark.parametrize("text", [HEX[1:], f"{HEX}0", f"g{HEX[1:]}", "default", "cafe", "0"])
def test_names_and_slugs_that_only_resemble_ids_are_taken(text: str) -> None:
    assert check_name(text) == check_slug(text) == text


@pytest.mark.parametrize("name", [ID, HEX, f"urn:uuid:{ID}", f"{HEX[:31]}", "-".join(HEX)])
def test_a_slug_made_of_an_id_is_valid_and_numbered(name: str) -> None:
    made = [slug_from(name, attempt) for attempt in range(12)]
    assert [check_slug(slug) for slug in made] == made
    assert len(set(made)) == len(made)
