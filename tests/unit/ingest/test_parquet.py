"""Parquet."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.ingest.files import find_source, read_rows
from akidb_ray.ingest.rows import BadRow, Row


def read(folder: Path, columns: dict[str, Any]) -> list[Row | BadRow]:
    path = folder / "films.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return list(read_rows(find_source(path)))


def test_rows_become_documents_of_plain_json(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        {
            "id": [1, 2],
            "text": ["a", None],
            "vector": pyarrow.array([None, [0.5, 1.0]], pyarrow.list_(pyarrow.float32())),
            "day": [datetime.date(2024, 1, 2), None],
            "price": [decimal.Decimal("1.50"), None],
            "rating": [float("nan"), 3.5],
            "tags": [["x"], None],
        },
    )
    assert [json.loads(row.body) for row in rows if isinstance(row, Row)] == [
        {"id": "1", "text": "a", "payload": {"day": "2024-01-02", "price": 1.5, "tags": ["x"]}},
        {"id": "2", "vector": [0.5, 1.0], "payload": {"rating": 3.5}},
    ]


def test_a_bad_row_is_reported_with_its_number_and_loses_no_other(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        {
            "id": ["1", None, "3", "4"],
            "vector": [[1.0], [1.0], [float("inf")], [2.0]],
            "raw": [None, None, None, b"bytes"],
        },
    )
    assert [row.id for row in rows if isinstance(row, Row)] == ["1"]
    bad = {row.line: row.reason for row in rows if isinstance(row, BadRow)}
    assert list(bad) == [2, 3, 4]
    assert bad[3] == "vector: has NaN or infinity"
    assert "bytes" in bad[4]


def test_numbers_go_on_over_many_batches(tmp_path: Path) -> None:
    ids = [str(number) for number in range(3_000)]
    rows = read(tmp_path, {"id": ids, "text": ["x"] * 3_000})
    assert [row.line for row in rows] == list(range(1, 3_001))


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "films.parquet"
    path.write_text("id,text\n")
    with pytest.raises(InvalidArgument, match="is not a Parquet file"):
        list(read_rows(find_source(path)))
