"""Which file is read how, and what happens when a field is not there."""

import gzip
import json
from pathlib import Path

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.ingest.files import find_source, read_rows
from akidb_ray.ingest.rows import Accepts, BadRow, FieldNames, Row


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, "utf-8")
    return path


@pytest.mark.parametrize("name", ["films.json", "films.txt", "films", "films.parquet.gz"])
def test_an_unknown_extension_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"\.csv, \.jsonl, \.ndjson, \.parquet"):
        find_source(write(tmp_path, name, ""))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="No such file"):
        find_source(tmp_path / "films.csv")


@pytest.mark.parametrize("name", ["FILMS.JSONL", "films.ndjson"])
def test_extensions_are_read_whatever_their_case(tmp_path: Path, name: str) -> None:
    source = find_source(write(tmp_path, name, '{"id": "1", "text": "x"}\n'))
    assert [row.id for row in read_rows(source) if isinstance(row, Row)] == ["1"]


@pytest.mark.parametrize("name", ["films.csv.gz", "films.jsonl.gz"])
def test_gzip_is_read_through(tmp_path: Path, name: str) -> None:
    text = "id,text\n1,x\n" if "csv" in name else '{"id": "1", "text": "x"}\n'
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()))
    [row] = read_rows(find_source(path))
    assert isinstance(row, Row)
    assert json.loads(row.body) == {"id": "1", "text": "x"}


def test_a_broken_gzip_keeps_what_was_read_and_tells_the_line(tmp_path: Path) -> None:
    lines = "".join(f'{{"id": "{n}", "text": "{n * 12345 % 9973}"}}\n' for n in range(9_000))
    path = tmp_path / "films.jsonl.gz"
    path.write_bytes(gzip.compress(lines.encode())[:-2_000])
    *good, last = read_rows(find_source(path))
    assert len(good) > 1_000
    assert isinstance(last, BadRow)
    assert last.line == len(good) + 1


def test_no_id_field_names_the_option_and_the_fields(tmp_path: Path) -> None:
    source = find_source(write(tmp_path, "films.csv", "tconst,text\n1,x\n"))
    with pytest.raises(InvalidArgument, match=r"'id'.*tconst, text.*--id-field"):
        list(read_rows(source))


def test_a_misspelt_text_field_is_refused_rather_than_each_row(tmp_path: Path) -> None:
    source = find_source(write(tmp_path, "films.jsonl", '{"id": "1", "plot": "x"}\n'))
    with pytest.raises(InvalidArgument, match=r"'plott'.*--text-field"):
        list(read_rows(source, FieldNames(text="plott")))


def test_one_row_without_an_id_is_a_bad_row(tmp_path: Path) -> None:
    lines = '{"text": "a"}\n{"id": "2", "text": "b"}\n'
    bad, good = read_rows(find_source(write(tmp_path, "films.jsonl", lines)))
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.reason) == (1, "id: is missing; it is the id of the document")
    assert isinstance(good, Row)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert list(read_rows(find_source(write(tmp_path, "films.csv", "")))) == []
    assert list(read_rows(find_source(write(tmp_path, "films.jsonl", "")))) == []


def test_rows_say_how_much_of_the_file_was_read(tmp_path: Path) -> None:
    lines = "".join(f'{{"id": "{n}", "text": "words"}}\n' for n in range(5_000))
    source = find_source(write(tmp_path, "films.jsonl", lines))
    read = [row.read_bytes for row in read_rows(source) if isinstance(row, Row)]
    assert read == sorted(read)
    assert 0 < read[0] < source.size_bytes
    assert read[-1] == source.size_bytes


def test_a_vector_of_the_wrong_width_is_bad_before_it_is_sent(tmp_path: Path) -> None:
    lines = '{"id": "1", "vector": [1, 2]}\n{"id": "2", "vector": [1, 2, 3]}\n'
    source = find_source(write(tmp_path, "films.jsonl", lines))
    bad, good = read_rows(source, accepts=Accepts(dimension=3))
    assert isinstance(bad, BadRow)
    assert bad.reason == "vector: must have 3 numbers, has 2"
    assert isinstance(good, Row)


def test_text_alone_is_bad_where_nothing_embeds_it(tmp_path: Path) -> None:
    source = find_source(write(tmp_path, "films.jsonl", '{"id": "1", "text": "x"}\n'))
    [bad] = read_rows(source, accepts=Accepts(embeds_text=False))
    assert isinstance(bad, BadRow)
    assert "embedding_model" in bad.reason
