"""How much one request may search for."""

from collections.abc import Iterable

from akidb_ray.domain.errors import InvalidArgument, TooLarge

MAX_BATCH_SEARCHES = 1_000
MAX_BATCH_RESULTS = 100_000


def check_batch_of_searches(depths: Iterable[tuple[int, int]]) -> None:
    """`depths` are (limit, offset) of each search. Raises InvalidArgument, TooLarge."""
    depths = list(depths)
    if not depths:
        raise InvalidArgument("searches", "is empty")
    if len(depths) > MAX_BATCH_SEARCHES:
        raise TooLarge("searches", MAX_BATCH_SEARCHES, "searches; send smaller batches")
    if sum(limit + offset for limit, offset in depths) > MAX_BATCH_RESULTS:
        reason = "results in all, offsets counted too; send smaller batches"
        raise TooLarge("searches", MAX_BATCH_RESULTS, reason)
