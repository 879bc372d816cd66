"""A replica of format 1 with postings, columns of every kind and a graph of links opens, and is
searched with the answers that it gave.

Its files never change; `tests/golden/make_searched.py` says how they were made.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from akidb_ray.domain.document import StoredDocument
from akidb_ray.domain.filter import EVERYTHING
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.index.links import REPEATED, decode_links
from akidb_ray.segment.column_files import decode_columns
from akidb_ray.segment.columns import DTYPES
from akidb_ray.segment.posting_files import decode_postings
from akidb_ray.segment.rows import flat_of
from akidb_ray.segment.sealed import SealedSegment
from akidb_ray.shard.inspection import inspect_replica
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.replica import Replica
from akidb_ray.storage.os_filesystem import OsFileSystem
from tests.golden.contents import ALL, opened
from tests.golden.search_contents import (
    FILTERS,
    SEARCHED,
    SEARCHED_SPEC,
    searched_answers,
    searched_expected,
)

EXPECTED = searched_expected()


@pytest.fixture(autouse=True)
def graphs_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although comparing would be cheaper in segments as small as these."""
    monkeypatch.setattr("akidb_ray.segment.search.graph_ns", lambda *_: 0.0)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    shutil.copytree(SEARCHED, tmp_path / "searched")
    replica = opened(tmp_path / "searched")
    yield replica
    if not replica.failed:
        replica.close()


def _check_answers(replica: Replica) -> None:
    found, wanted = searched_answers(replica), dict(EXPECTED)
    for scores, former in zip(found.pop("scores"), wanted.pop("scores"), strict=True):
        assert scores == pytest.approx(former, rel=1e-4)
    assert found == wanted


def test_it_holds_and_answers_what_it_did(replica: Replica) -> None:
    assert replica.spec == SEARCHED_SPEC
    assert any(live.graph is not None for live in replica.live.sealed)
    _check_answers(replica)


def test_it_answers_the_same_after_all_maintenance_and_from_there(
    replica: Replica, tmp_path: Path
) -> None:
    replica.freeze()
    while maintain(replica):
        pass
    _check_answers(replica)
    replica.close()
    again = opened(tmp_path / "searched")
    _check_answers(again)
    again.close()


def test_what_filters_find_is_what_they_mean(replica: Replica) -> None:
    view = replica.view()
    ids = sorted(view.matching_ids(EVERYTHING, ALL))
    documents = view.get(ids, ALL, with_vector=False)
    for raw, found in zip(FILTERS, EXPECTED["filters"], strict=True):
        meant = [document.id for document in documents if _passes(raw, document)]
        assert found == meant, raw
        assert 0 < len(found) < len(ids), raw


def _passes(raw: object, document: StoredDocument) -> bool:
    return passes(parse_filter(raw), flat_of(document.payload), document.id)


def test_every_search_finds_something() -> None:
    assert all(len(hits) >= 4 for hits in EXPECTED["hits"])


def test_it_has_every_kind_of_file_and_column(replica: Replica) -> None:
    for pattern in ("tombstones/*", "wal/*"):
        assert list(SEARCHED.glob(pattern))
    sealed = [live.segment for live in replica.live.sealed]
    born_dead = [s.born_dead is not None for s in sealed if isinstance(s, SealedSegment)]
    assert sorted(born_dead) == [False, True]
    types: set[str] = set()
    for folder in SEARCHED.glob("segments/*"):
        rows = json.loads((folder / "segment.json").read_bytes())["rows"]
        columns = decode_columns(memoryview((folder / "columns.arrow").read_bytes()), rows)
        assert columns.complete
        assert columns.all_types
        types |= {type for by_type in columns.by_path.values() for type in by_type}
        postings = decode_postings((folder / "postings.arrow").read_bytes(), rows)
        assert postings.analysis.startswith("english/")
        assert len(postings.terms) > 10
    assert types == {"string", *DTYPES}


def test_its_graph_is_of_links_with_repeated_rows() -> None:
    [folder] = SEARCHED.glob("indexes/*")
    made = orjson.loads((folder / "index.json").read_bytes())
    data = (folder / "graph.links").read_bytes()
    links = decode_links(data, made["rows"], made["m"], made["entry"])
    assert 0 < (links.levels == REPEATED).sum() < made["rows"] // 2


def test_files_are_as_they_were_written() -> None:
    assert inspect_replica(OsFileSystem(SEARCHED)).ok
