"""What the random histories of the catalog are made of: few values, so that they meet again."""

from typing import Any

from hypothesis import strategies as st

from akidb_ray.domain.collection import CollectionSpec, CollectionState
from akidb_ray.domain.listing import Listing, Order
from akidb_ray.domain.tenancy import TenantQuota, TenantStatus, UserStatus

UNKNOWN = 9
# Which of the things made so far, from the newest backwards; UNKNOWN for none of them.
picks = st.integers(0, UNKNOWN)


def mostly(usual: list[Any], rare: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([*usual, *usual, *usual, *rare])


names = mostly(["films", "books", "Films", "a.b", "film_plots"], ["über", "", "x" * 256])
titles = mostly(["Acme", "Acme Ltd.", "ACME", "Ärger & Co", "雪"], ["", "a\0b", "x" * 256])
slugs = mostly([None, "acme", "acme-2", "tenant"], ["-bad-"])
external_ids = mostly([None, "crm-1", "crm-2"], [""])
emails = mostly(["ada@b.c", "ADA@b.c", "bob@b.c", "Éva@b.c", "éva@b.c"], ["nobody"])
texts = mostly(["", "old films", "Old books, très bon", "a 'quoted' \"text\""], ["x" * 4097])
metadata = mostly([{}, {"a": 1}, {"a": True}, {"a": 1.0}, {"b": [None, "\ud800"]}], [[1]])
limits = mostly([None, 0, 1, 2, 3], [2**63, -1])
quotas = st.none() | st.builds(
    TenantQuota,
    qps_quota=mostly([0, 200], [-1]),
    max_collections=limits,
    max_vectors_per_collection=limits,
)
specs = st.builds(
    CollectionSpec,
    dimension=mostly([16], [15]),
    shard_count=st.sampled_from([1, 2, 3]),
    embedding_model=mostly([None, "hashing-64"], [""]),
    max_doc_count=mostly([50_000_000, 1, 2], [0]),
)
versions = st.sampled_from([None, None, "known", "former"])
actor_names = st.sampled_from(["", "shard-host-0", "shard-host-1"])
hashes = mostly([None, b"hash", b"other"], [b""])


def changes(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """One or two fields with their new values; now and then a field that can't change."""
    possible = {**fields, "version": st.just(7), "unheard_of": st.none()}
    weighted = [*fields] * 6 + ["version", "unheard_of"]
    chosen = st.lists(st.sampled_from(weighted), min_size=1, max_size=2, unique=True)
    return chosen.flatmap(
        lambda names: st.fixed_dictionaries({name: possible[name] for name in names})
    )


tenant_changes = changes(
    name=titles,
    slug=slugs,
    external_id=external_ids,
    status=mostly([*TenantStatus], ["gone"]),
    metadata=metadata,
    qps_quota=mostly([0, 1], [-1, None]),
    max_collections=limits,
)
user_changes = changes(email=emails, status=mostly([*UserStatus], ["gone"]), password_hash=hashes)
database_changes = changes(name=names, description=texts, state=st.just("ready"))
collection_changes = changes(
    name=names, description=texts, state=mostly([*CollectionState], ["gone"])
)
listings = st.builds(
    Listing,
    limit=st.sampled_from([1, 1, 2, 3, 100]),
    offset=st.sampled_from([0, 0, 0, 1, 5]),
    order=st.sampled_from(Order),
    descending=st.booleans(),
    text=st.sampled_from([None, None, "acme", "old FILM", "tres", "quot", "arger", "-", "雪", "x"]),
)
# Of the states that things of a kind can have; None for all.
states = st.none() | st.integers(0, 3)
