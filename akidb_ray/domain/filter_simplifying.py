"""Filters without needless inner ones, which mean the same."""

from collections.abc import Iterable, Iterator

from akidb_ray.domain.filter import EVERYTHING, Clause, Filter


def simplified(
    must: Iterable[Clause] = (), should: Iterable[Clause] = (), must_not: Iterable[Clause] = ()
) -> Filter:
    """All of `must`, one of `should` when there are any, none of `must_not`.

    Inner filters that are simple themselves are dissolved where that changes nothing.
    """
    all_of: list[Clause] = []
    none_of = list(_alternatives(must_not))
    for clause in must:
        if isinstance(clause, Filter) and not clause.should:
            all_of.extend(clause.must)
            none_of.extend(clause.must_not)
        else:
            all_of.append(clause)
    any_of = tuple(_alternatives(should))
    if EVERYTHING in any_of:
        any_of = ()
    if len(all_of) == 1 and isinstance(all_of[0], Filter) and not (any_of or none_of):
        return all_of[0]
    return Filter(tuple(all_of), any_of, tuple(none_of))


def _alternatives(clauses: Iterable[Clause]) -> Iterator[Clause]:
    """Clauses of which one holds exactly when one of those given does."""
    for clause in clauses:
        if isinstance(clause, Filter) and not clause.must_not:
            if clause.should and not clause.must:
                yield from clause.should
                continue
            if len(clause.must) == 1 and not clause.should:
                yield clause.must[0]
                continue
        yield clause


def count_conditions(filter: Filter) -> int:
    clauses = (*filter.must, *filter.should, *filter.must_not)
    return sum(count_conditions(c) if isinstance(c, Filter) else 1 for c in clauses)
