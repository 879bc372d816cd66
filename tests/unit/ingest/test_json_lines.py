"""JSON Lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.ingest.files import find_source, read_rows
from akidb_ray.ingest.rows import BadRow, FieldNames, Row


def read(folder: Path, content: bytes, names: FieldNames | None = None) -> list[Row | BadRow]:
    path = folder / "films.jsonl"
    path.write_bytes(content)
    return list(read_rows(find_source(path), names))


def documents(rows: list[Row | BadRow]) -> list[dict[str, Any]]:
    return [json.loads(row.body) for row in rows if isinstance(row, Row)]


def test_everything_else_becomes_the_payload(tmp_path: Path) -> None:
    line = (
        b'{"tconst": "tt1", "plot": "A heist.", "v": [0.5, 1], "year": 1999, "genres": ["drama"],'
        b' "cast": {"lead": "X"}, "rating": null}\n'
    )
    rows = read(tmp_path, line, FieldNames("tconst", "plot", "v"))
    assert documents(rows) == [
        {
            "id": "tt1",
            "text": "A heist.",
            "vector": [0.5, 1],
            "payload": {
                "year": 1999,
                "genres": ["drama"],
                "cast": {"lead": "X"},
                "rating": None,
            },
        }
    ]


def test_a_bad_row_is_reported_with_its_physical_line_and_loses_no_other(tmp_path: Path) -> None:
    content = (
        b'\xef\xbb\xbf{"id": "1", "text": "a"}\n'
        b"\n"
        b'{"id": "3", "text": \n'
        b'["4"]\n'
        b'{"id": "5", "text": "\xff"}\n'
        b'{"id": "6", "text": 6}\n'
        b'{"id": "7", "vector": [1, "x"]}\n'
        b'{"id": "8"}\n'
        b'{"id": true, "text": "x"}\n'
        b'{"id": "10", "text": "without an end"}'
    )
    rows = read(tmp_path, content)
    assert [row.id for row in rows if isinstance(row, Row)] == ["1", "10"]
    bad = {row.line: row.reason for row in rows if isinstance(row, BadRow)}
    assert list(bad) == [3, 4, 5, 6, 7, 8, 9]
    assert bad[3].startswith("is not JSON")
    assert bad[4] == "is not a JSON object"
    assert bad[5].startswith("is not JSON")
    assert bad[6] == "text: must be a string, is 6"
    assert bad[7].startswith("vector: must be a list of numbers")
    assert bad[8] == "text: is missing, and so is the vector ('vector')"
    assert bad[9] == "id: must be a string"


def test_a_whole_number_is_an_id(tmp_path: Path) -> None:
    assert documents(read(tmp_path, b'{"id": 42, "text": "x"}\n'))[0]["id"] == "42"


@pytest.mark.parametrize("id", ['""', f'"{"x" * 513}"', "1.5", "[1]"])
def test_an_id_that_no_document_can_have_is_a_bad_row(tmp_path: Path, id: str) -> None:
    [bad] = read(tmp_path, f'{{"id": {id}, "text": "x"}}\n'.encode())
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith("id: ")
