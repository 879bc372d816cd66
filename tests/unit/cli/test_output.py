"""What commands print, whatever somebody wrote into the texts."""

import json

import pytest

from akidb_ray.cli.output import print_fields, print_json, print_table

HALF = "a\ud800b 雪"


def test_half_of_a_surrogate_pair_is_printed_escaped_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"metadata": {HALF: ["\udfff", "😀"]}})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"metadata": {HALF: ["\udfff", "😀"]}}
    assert "a\\ud800b 雪" in printed


def test_half_of_a_surrogate_pair_is_printed_escaped_for_a_person(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(["id", "text"], [["1", HALF]])
    print_fields({"metadata": {"tier": HALF}, "name": HALF})
    assert capsys.readouterr().out.count("a\\ud800b 雪") == 3
