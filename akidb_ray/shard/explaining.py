"""How a search went: what was planned for each segment, and how long each step took."""

import time

from akidb_ray.domain.query import Explanation, SegmentPlan

# What a segment was asked and gave: its rows, how many were allowed, the way, candidates, widened.
Plan = tuple[int, int, str, int, int]


class Trace:
    """Collects the steps of one search, in their order. Every search has one, so it only writes
    down when something ended.
    """

    def __init__(self) -> None:
        self._ends: list[tuple[str | Plan, float]] = [("", time.perf_counter())]

    def step(self, name: str) -> None:
        """What was done since the step before; one that comes again adds to its time."""
        self._ends.append((name, time.perf_counter()))

    def segment(self, rows: int, allowed: int, way: str, candidates: int, widened: int) -> None:
        """The search of one segment, since the one before or the last step."""
        self._ends.append(((rows, allowed, way, candidates, widened), time.perf_counter()))

    def explanation(self) -> Explanation:
        took_ms: dict[str, float] = {}
        segments = []
        (_, last_step), *_ = self._ends
        last = last_step
        for what, end in self._ends[1:]:
            if isinstance(what, str):
                took_ms[what] = took_ms.get(what, 0.0) + (end - last_step) * 1000
                last_step = end
            else:
                segments.append(SegmentPlan(*what, (end - last) * 1000))
            last = end
        return Explanation(tuple(segments), took_ms)
