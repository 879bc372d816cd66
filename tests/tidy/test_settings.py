"""configs/default.toml documents the settings: every key, with its default and why."""

import dataclasses
import re
import tomllib
from pathlib import Path

from akidb_ray.settings import Settings

DEFAULTS = Path(__file__).parents[2] / "configs" / "default.toml"


def test_file_holds_every_default_and_nothing_else() -> None:
    in_code = dataclasses.asdict(Settings(), dict_factory=_as_toml)
    assert tomllib.loads(DEFAULTS.read_text("utf-8")) == in_code


def test_every_key_is_explained() -> None:
    in_code = {
        f"{section}.{key}"
        for section, keys in dataclasses.asdict(Settings()).items()
        for key in keys
    }
    assert not in_code - _explained_keys(DEFAULTS.read_text("utf-8"))


def _as_toml(items: list[tuple[str, object]]) -> dict[str, object]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in items}


def _explained_keys(text: str) -> set[str]:
    """Keys with a comment on their line, or above them in their block of lines."""
    explained: set[str] = set()
    section, commented = "", False
    for line in text.splitlines():
        if header := re.match(r"\[([\w.]+)\]", line):
            section, commented = f"{header[1]}.", False
        elif key := re.match(r"(\w+) = ", line):
            if commented or "#" in line:
                explained.add(section + key[1])
        else:
            commented = line.startswith("#") or (commented and bool(line.strip()))
    return explained
