"""One explanation of several searches of a shard."""

from collections.abc import Sequence

from akidb_ray.domain.query import Explanation


def merge_explanations(parts: Sequence[Explanation]) -> Explanation:
    """The segments of all, one behind the other; times of the same step are added."""
    took_ms: dict[str, float] = {}
    for part in parts:
        for step, step_ms in part.took_ms.items():
            took_ms[step] = took_ms.get(step, 0.0) + step_ms
    return Explanation(tuple(plan for part in parts for plan in part.segments), took_ms)
