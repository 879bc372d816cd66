"""Which way through a segment is cheapest: a model of what searches cost.

`bench/engine.py --costs` measures the constants. Only their ratios matter: on another machine all
change about alike.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """*exact* compares the query with every allowed row. *mask* lets the graph look for allowed
    rows. *overfetch* lets it look for all rows and drops what is not allowed.
    """

    EXACT = "exact"
    MASK = "mask"
    OVERFETCH = "overfetch"


@dataclass(frozen=True, slots=True)
class Costs:
    """In nanoseconds, on one core. `scan` is for a row compared in place, `pick` for one of a list
    of rows, `visit` for one that a graph comes upon: each a part per row and one per dimension. A
    search of breadth ef visits about `visits + visits_per_ef * ef` rows.
    """

    scan_ns: float = 8.0
    scan_ns_per_dimension: float = 0.2
    pick_ns: float = 40.0
    pick_ns_per_dimension: float = 0.3
    visit_ns: float = 90.0
    visit_ns_per_dimension: float = 0.5
    visits: float = 350.0
    visits_per_ef: float = 16.0


MEASURED = Costs()


def exact_ns(rows: int, count: int, dimension: int, costs: Costs = MEASURED) -> float:
    """Comparing with the `count` allowed ones of so many rows."""
    if count == rows:
        return rows * (costs.scan_ns + dimension * costs.scan_ns_per_dimension)
    return count * (costs.pick_ns + dimension * costs.pick_ns_per_dimension)


def graph_ns(breadth: int, dimension: int, costs: Costs = MEASURED) -> float:
    """One search of a graph."""
    visits = costs.visits + costs.visits_per_ef * breadth
    return visits * (costs.visit_ns + dimension * costs.visit_ns_per_dimension)


def segment_breadth(ef: int, share: float) -> int:
    """How broad to search a segment that has this share of all rows, see docs/adr/0012: then many
    segments together find what one would with a breadth of `ef`.
    """
    return math.ceil(ef * math.sqrt(share))


def mask_breadth(ef: int, share: float) -> int:
    """How broad a masked search must be to find as much as an unmasked one of breadth `ef`.

    `share` of the rows near the query are allowed. Measured on the films, with filters that go with
    the query and against it: the breadth grows with the square root of what is left out.
    """
    return math.ceil(ef / math.sqrt(share))


def overfetch_breadth(limit: int, ef: int, share: float) -> int:
    """How many rows to fetch when `share` of them are allowed, and `limit` must be well inside."""
    return math.ceil(max(ef / math.sqrt(share), 2 * limit / share))
