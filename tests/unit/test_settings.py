"""Settings: defaults, then the file, then variables."""

from pathlib import Path

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.settings import Settings, load_settings


def test_without_file_and_variables_the_defaults_hold() -> None:
    assert load_settings(None, {}) == Settings()


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "akidb.toml"
    file.write_text('[server]\nport = 9000\nhost = "::1"\n[embedding]\nmodels = ["a", "b"]\n')
    environment = {"AKIDB_SERVER_PORT": "9001", "AKIDB_SHARD_SEAL_IDLE_S": "0.5"}
    settings = load_settings(file, environment)
    assert (settings.server.port, settings.server.host) == (9001, "::1")
    assert settings.shard.seal_idle_s == 0.5
    assert settings.embedding.models == ("a", "b")
    assert settings.ray == Settings().ray


def test_a_list_in_a_variable_is_split_at_commas() -> None:
    settings = load_settings(None, {"AKIDB_EMBEDDING_MODELS": "a, b,"})
    assert settings.embedding.models == ("a", "b")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[server]\nprot = 1\n", "server.prot"),
        ("[servr]\n", "servr"),
        ('[server]\nport = "many"\n', "server.port"),
        ("[server]\nport = true\n", "server.port"),
        ("[server]\nport = 8100.9\n", "server.port"),
        ("[server]\nrequest_timeout_s = -1\n", "server.request_timeout_s"),
        ("server = 5\n", "server"),
        ("[server\n", "config"),
    ],
)
def test_a_wrong_file_names_the_setting(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "akidb.toml"
    file.write_text(text)
    with pytest.raises(InvalidArgument) as refused:
        load_settings(file, {})
    assert refused.value.fields["field"] == field


def test_a_wrong_variable_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="AKIDB_SERVER_PORT"):
        load_settings(None, {"AKIDB_SERVER_PORT": "x"})
    with pytest.raises(InvalidArgument, match="AKIDB_SERVER_PROT"):
        load_settings(None, {"AKIDB_SERVER_PROT": "1"})
    with pytest.raises(InvalidArgument, match=r"missing\.toml"):
        load_settings(tmp_path / "missing.toml", {})
