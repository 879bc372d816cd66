"""plan_batches groups rows with little padding and loses none."""

from hypothesis import given
from hypothesis import strategies as st

from akidb_ray.embedding.batching import plan_batches


def test_rows_of_similar_length_share_a_batch() -> None:
    assert plan_batches([9, 2, 10, 3], max_tokens_per_batch=20, max_rows=8) == [[1, 3], [0, 2]]


def test_padding_counts_towards_the_limit() -> None:
    # 4 + 4 + 7 is within 20 tokens, three rows padded to 7 are not.
    assert plan_batches([4, 4, 7], max_tokens_per_batch=20, max_rows=8) == [[0, 1], [2]]


def test_row_longer_than_the_limit_is_alone() -> None:
    assert plan_batches([50, 3], max_tokens_per_batch=20, max_rows=8) == [[1], [0]]


def test_no_rows_make_no_batches() -> None:
    assert plan_batches([], max_tokens_per_batch=20, max_rows=8) == []


@given(
    lengths=st.lists(st.integers(1, 300), max_size=200),
    max_tokens=st.integers(1, 2000),
    max_rows=st.integers(1, 64),
)
def test_every_row_is_in_one_batch_and_batches_keep_the_limits(
    lengths: list[int], max_tokens: int, max_rows: int
) -> None:
    batches = plan_batches(lengths, max_tokens, max_rows)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= max_rows
        padded = len(batch) * max(lengths[row] for row in batch)
        assert padded <= max_tokens or len(batch) == 1
