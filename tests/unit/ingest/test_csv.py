"""CSV."""

import json
from pathlib import Path
from typing import Any

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.ingest.files import find_source, read_rows
from akidb_ray.ingest.rows import BadRow, Row


def read(folder: Path, content: str | bytes) -> list[Row | BadRow]:
    path = folder / "films.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(find_source(path)))


def documents(rows: list[Row | BadRow]) -> list[dict[str, Any]]:
    return [json.loads(row.body) for row in rows if isinstance(row, Row)]


def bad_lines(rows: list[Row | BadRow]) -> list[int]:
    return [row.line for row in rows if isinstance(row, BadRow)]


def test_empty_cells_are_left_out_and_numbers_become_numbers(tmp_path: Path) -> None:
    rows = read(tmp_path, "id,text,year,score,note\n007,42,1999,-1.5e3,\n2,b,,,x\n")
    assert documents(rows) == [
        {"id": "007", "text": "42", "payload": {"year": 1999, "score": -1500.0}},
        {"id": "2", "text": "b", "payload": {"note": "x"}},
    ]


@pytest.mark.parametrize(
    "cell",
    ["007", "1_000", "nan", "inf", "1e999", "0x1f", "12345678901234567890", "+1", "1.", "true"],
)
def test_what_only_resembles_a_number_stays_text(tmp_path: Path, cell: str) -> None:
    assert documents(read(tmp_path, f"id,text,n\n1,a,{cell}\n"))[0]["payload"] == {"n": cell}


def test_a_vector_is_a_json_list(tmp_path: Path) -> None:
    rows = read(tmp_path, 'id,vector\n1,"[0.5, 1]"\n2,0.5 1\n3,"[]x"\n')
    assert documents(rows) == [{"id": "1", "vector": [0.5, 1]}]
    assert bad_lines(rows) == [3, 4]


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    rows = read(tmp_path, 'id,text\r\n1,"two\r\nlines"\r\n\r\n2\r\n3,c,d\r\n4,e\r\n')
    assert [(row.line, row.id) for row in rows if isinstance(row, Row)] == [(2, "1"), (7, "4")]
    assert bad_lines(rows) == [5, 6]
    assert documents(rows)[0]["text"] == "two\r\nlines"


def test_a_quote_that_is_never_closed_loses_only_its_own_line(tmp_path: Path) -> None:
    rows = read(tmp_path, 'id,text\n1,a\n2,"b\n3,c\n4,"d"x\n5,e\n')
    assert [row.id for row in rows if isinstance(row, Row)] == ["1", "3", "5"]
    assert bad_lines(rows) == [3, 5]


def test_a_row_that_is_not_utf8_is_bad_alone(tmp_path: Path) -> None:
    rows = read(tmp_path, b"\xef\xbb\xbfid,text\n1,\xe4\n2,\xc3\xa4\n")
    assert documents(rows) == [{"id": "2", "text": "ä"}]
    assert bad_lines(rows) == [2]


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    assert documents(read(tmp_path, ",id,text\n0,1,a\n")) == [{"id": "1", "text": "a"}]


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    assert len(documents(read(tmp_path, f"id,text\n1,{'x' * 300_000}\n"))[0]["text"]) == 300_000


def test_a_header_that_names_a_field_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="'text' twice"):
        read(tmp_path, "id,text,text\n1,a,b\n")
