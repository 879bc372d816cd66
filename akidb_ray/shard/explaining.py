"""How a search went: what was planned for each segment, and how long each step took."""

import time

from akidb_ray.domain.query import Explanation, SegmentPlan


class Trace:
    """Collects the steps of one search, in their order. Every search has one: it costs little."""

    def __init__(self) -> None:
        self._took_s: dict[str, float] = {}
        self._segments: list[tuple[int, int, str, int, int, float]] = []
        self._step_from = self._segment_from = time.perf_counter()

    def step(self, name: str) -> None:
        """What was done since the step before; one that comes again adds to its time."""
        now = time.perf_counter()
        self._took_s[name] = self._took_s.get(name, 0.0) + now - self._step_from
        self._step_from = self._segment_from = now

    def segment(self, rows: int, allowed: int, way: str, candidates: int, widened: int) -> None:
        """The search of one segment, since the one before or the last step."""
        now = time.perf_counter()
        took_ms = (now - self._segment_from) * 1000
        self._segments.append((rows, allowed, way, candidates, widened, took_ms))
        self._segment_from = now

    def explanation(self) -> Explanation:
        took_ms = {name: seconds * 1000 for name, seconds in self._took_s.items()}
        return Explanation(tuple(SegmentPlan(*plan) for plan in self._segments), took_ms)
