"""A flag wins over the environment, that over the file, and the file over the defaults."""

from pathlib import Path

import pytest

from akidb_ray.cli.connection import Connection, resolve_connection
from akidb_ray.domain.errors import InvalidArgument


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return path


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    connection = resolve_connection({}, {}, tmp_path)
    assert connection == Connection("http://127.0.0.1:8100", None, "default", "default", None)


def test_each_source_wins_over_the_next(tmp_path: Path) -> None:
    write(
        tmp_path / ".config/akidb/client.toml",
        'url = "http://file"\napi_key = "file"\ntenant = "file"\ndatabase = "file"\n',
    )
    environment = {"AKIDB_URL": "http://variable", "AKIDB_TENANT": "variable", "AKIDB_API_KEY": ""}
    flags = {"url": "http://flag", "tenant": None, "profile_file": None}
    assert resolve_connection(flags, environment, tmp_path) == Connection(
        "http://flag", "file", "variable", "file", None
    )


def test_a_named_file_takes_the_place_of_the_one_at_home(tmp_path: Path) -> None:
    write(tmp_path / ".config/akidb/client.toml", 'tenant = "home"')
    by_variable = write(tmp_path / "a.toml", 'tenant = "variable"')
    by_flag = write(tmp_path / "b.toml", 'tenant = "flag"')
    environment = {"AKIDB_CLIENT_FILE": str(by_variable)}
    assert resolve_connection({}, environment, tmp_path).tenant == "variable"
    assert resolve_connection({}, environment, tmp_path, by_flag).tenant == "flag"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('key = "x"', "'key' is not known; known are url, api_key"),
        ("tenant = 5", "tenant must be a string"),
        ("tenant", "client.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(
    tmp_path: Path, content: str, complaint: str
) -> None:
    write(tmp_path / ".config/akidb/client.toml", content)
    with pytest.raises(InvalidArgument, match=complaint):
        resolve_connection({}, {}, tmp_path)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="does not exist"):
        resolve_connection({}, {}, tmp_path, tmp_path / "nothing.toml")
