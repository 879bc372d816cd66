import numpy as np
import pytest

from akidb_ray.domain.collection import CollectionSpec, Metric, check_spec
from akidb_ray.domain.document import DocumentBatch, check_vectors
from akidb_ray.domain.errors import InvalidArgument, InvalidState, Unavailable
from akidb_ray.domain.ids import (
    SLOT_COUNT,
    CollectionId,
    DatabaseId,
    StoreId,
    TenantId,
    check_document_id,
    slot_of,
)
from akidb_ray.domain.placement import ShardKey, group_by_shard, place_shards, shard_of
from akidb_ray.domain.query import Hit
from akidb_ray.domain.ranking import merge_hits
from akidb_ray.domain.tenancy import (
    TENANT_MOVES,
    TenantStatus,
    check_move,
    check_slug,
    check_title,
    slug_from,
)


def _vectors(bad: float | None = None) -> np.ndarray:
    vectors = np.ones((4, 16), np.float32)
    if bad is not None:
        vectors[2, 5] = bad
    return vectors


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.nan, "NaN at position 5"),
        (np.inf, "infinity at position 5"),
        (-np.inf, "infinity at position 5"),
        (3e38, "overflows"),
    ],
)
def test_vector_that_no_index_can_hold_is_refused_with_its_row(
    metric: Metric, bad: float, reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason) as refused:
        check_vectors(_vectors(bad), 16, metric)
    assert refused.value.fields["row"] == 2
    assert refused.value.fields["field"] == "vector"


def test_zero_vector_is_refused_under_cosine_only() -> None:
    vectors = _vectors()
    vectors[3] = 0.0
    with pytest.raises(InvalidArgument, match="length zero") as refused:
        check_vectors(vectors, 16, Metric.COSINE)
    assert refused.value.fields["row"] == 3
    check_vectors(vectors, 16, Metric.DOT)
    check_vectors(vectors, 16, Metric.L2)


@pytest.mark.parametrize("shape", [(4, 15), (4, 17), (4, 0), (16,), (1, 4, 16)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="must have 16 numbers"):
        check_vectors(np.ones(shape, np.float32), 16, Metric.L2)


def test_good_vectors_pass_even_none_of_them() -> None:
    check_vectors(_vectors(), 16, Metric.COSINE)
    check_vectors(np.empty((0, 16), np.float32), 16, Metric.COSINE)


def test_taking_rows_of_a_batch_takes_all_columns() -> None:
    batch = DocumentBatch(["a", "b"], np.eye(2, 16, dtype=np.float32), ["x", None], [None, b"{}"])
    taken = batch.take([1])
    assert (taken.ids, taken.texts, taken.payloads) == (["b"], [None], [b"{}"])
    assert taken.vectors[0, 1] == 1.0


@pytest.mark.parametrize("slug", ["a", "0", "acme", "a-b", "a--b", "x" * 63])
def test_slug_is_valid(slug: str) -> None:
    assert check_slug(slug) == slug


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "ä", "a\n", "x" * 64, "a b", 5, None])
def test_slug_is_refused(slug: object) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_slug(slug)
    assert refused.value.fields["field"] == "slug"


@pytest.mark.parametrize(
    "name",
    [
        "Acme Inc.",
        "Ünïcode",
        "---",
        "日本",
        "x" * 200,
        f"{'x' * 62} y",
        "a",
        "\N{ROMAN NUMERAL TWO}",
    ],
)
def test_slug_made_from_any_name_is_valid_and_numbered_when_taken(name: str) -> None:
    slugs = [slug_from(name, attempt) for attempt in (0, 1, 2, 98)]
    assert [check_slug(slug) for slug in slugs] == slugs
    assert len(set(slugs)) == 4


@pytest.mark.parametrize(
    "name", ["Acme", "株式会社\u3000サンプル", "Soci\u00e9t\u00e9\u00a0SA", "a" * 255]
)
def test_name_of_a_tenant_may_be_any_text_that_can_be_seen(name: str) -> None:
    assert check_title(name) == name


@pytest.mark.parametrize("name", ["", "\u3000", "a\nb", "a\u200bb", "a\x00", "a" * 256, 7])
def test_name_of_a_tenant_that_can_not_be_seen_is_refused(name: object) -> None:
    with pytest.raises(InvalidArgument, match="name: "):
        check_title(name)


def test_lifecycle_allows_only_the_moves_of_its_table() -> None:
    check_move("tenant", TENANT_MOVES, TenantStatus.ACTIVE, TenantStatus.SUSPENDED)
    with pytest.raises(InvalidState):
        check_move("tenant", TENANT_MOVES, TenantStatus.DECOMMISSIONED, TenantStatus.ACTIVE)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dimension": 15}, "dimension"),
        ({"dimension": 4097}, "dimension"),
        ({"dimension": True}, "dimension"),
        ({"shard_count": 0}, "shard_count"),
        ({"hnsw_m": 2}, "hnsw_m"),
        ({"replica_factor": 2}, "replica_factor"),
        ({"max_doc_count": 0}, "max_doc_count"),
    ],
)
def test_wrong_spec_is_refused_and_the_field_named(change: dict[str, object], field: str) -> None:
    spec = CollectionSpec(**{"dimension": 16, **change})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument) as refused:
        check_spec(spec)
    assert refused.value.fields["field"] == field


def test_ids_of_two_kinds_are_never_equal() -> None:
    tenant = TenantId.new()
    assert tenant != DatabaseId(tenant.value)
    assert TenantId.parse(str(tenant)) == tenant
    with pytest.raises(InvalidArgument):
        TenantId.parse("no uuid", "tenant_id")


@pytest.mark.parametrize("bad", ["", "x" * 513, "\ud800", 5, None, "ü" * 257])
def test_document_id_is_refused(bad: object) -> None:
    with pytest.raises(InvalidArgument):
        check_document_id(bad)


def test_shards_cut_the_slots_into_nearly_equal_ranges() -> None:
    for shard_count in (1, 2, 3, 7, 64):
        owners = [shard_of(slot, shard_count) for slot in range(SLOT_COUNT)]
        sizes = [owners.count(number) for number in range(shard_count)]
        assert owners == sorted(owners)
        assert max(sizes) - min(sizes) <= 1


def test_batch_is_grouped_by_owner_in_its_own_order() -> None:
    slots = [slot_of(f"doc-{number}") for number in range(100)]
    groups = group_by_shard(slots, 3)
    assert sorted(position for group in groups.values() for position in group) == list(range(100))
    for shard, positions in groups.items():
        assert positions == sorted(positions)
        assert {shard_of(slots[position], 3) for position in positions} == {shard}


def test_new_shards_go_where_the_fewest_are() -> None:
    stores = sorted(StoreId.new() for _ in range(3))
    placed = place_shards(4, {stores[0]: 2, stores[1]: 0, stores[2]: 1})
    assert [p.store_id for p in placed] == [stores[1], stores[1], stores[2], stores[0]]
    assert [p.number for p in placed] == [0, 1, 2, 3]
    with pytest.raises(Unavailable):
        place_shards(1, {})


def test_path_of_a_shard_starts_with_its_tenant() -> None:
    key = ShardKey(TenantId.new(), CollectionId.new(), 3)
    assert key.path.parts == (str(key.tenant_id), str(key.collection_id), "0003")


@pytest.mark.parametrize(
    ("metric", "order"),
    [(Metric.COSINE, "dbcae"), (Metric.DOT, "dbcae"), (Metric.L2, "eabcd")],
)
def test_merged_hits_are_best_first_and_ties_by_id(metric: Metric, order: str) -> None:
    scores = {"a": 0.5, "b": 0.9, "c": 0.9, "d": 1.0, "e": 0.1}
    hits = [Hit(id, score, 1) for id, score in scores.items()]
    lists = [hits[3:], [hits[2]], hits[:2], []]
    assert "".join(h.id for h in merge_hits(lists, metric, 10)) == order
    assert "".join(h.id for h in merge_hits(reversed(lists), metric, 3)) == order[:3]
