"""Process settings: defaults, then the file, then `AKIDB_*` variables, then flags.

`configs/default.toml` documents every one of them and holds the same defaults; a test compares
them. A variable is named after section and key: `AKIDB_SERVER_PORT` sets `port` in `[server]`.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from akidb_ray.domain.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: int = 8100
    grpc_port: int = 8101
    data_dir: str = "akidb-data"
    gateway_replicas: int = 1
    request_timeout_s: float = 30.0
    max_body_bytes: int = 64 * 1024**2
    max_batch_documents: int = 10_000


@dataclass(frozen=True, slots=True)
class RaySettings:
    object_store_memory_bytes: int = 256 * 1024**2
    num_cpus: int = 0
    shard_hosts_per_node: int = 1
    shard_host_threads: int = 32
    shard_host_writers: int = 32


@dataclass(frozen=True, slots=True)
class ShardSettings:
    seal_rows: int = 50_000
    seal_bytes: int = 256 * 1024**2
    seal_idle_s: float = 2.0
    index_min_rows: int = 1_000
    merge_factor: int = 4
    settle_s: float = 30.0
    max_segment_rows: int = 1_000_000
    unindexed_slow_rows: int = 300_000
    unindexed_max_rows: int = 600_000
    build_threads: int = 0
    disk_reserve_bytes: int = 256 * 1024**2
    lock_wait_s: float = 60.0
    wal_retention_bytes: int = 1024**3
    memory_budget_bytes: int = 0
    max_open_replicas: int = 256
    close_idle_s: float = 300.0
    mask_cache_bytes: int = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    backup_uri: str = ""
    backup_delay_s: float = 2.0
    backup_interval_s: float = 3600.0
    backups_kept: int = 24


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    models: tuple[str, ...] = ("all-MiniLM-L6-v2",)
    replicas: int = 0
    texts_per_call: int = 32
    max_queued_requests: int = 256


@dataclass(frozen=True, slots=True)
class Settings:
    server: ServerSettings = field(default_factory=ServerSettings)
    ray: RaySettings = field(default_factory=RaySettings)
    shard: ShardSettings = field(default_factory=ShardSettings)
    catalog: CatalogSettings = field(default_factory=CatalogSettings)
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)


def load_settings(
    file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Settings of this process. Raises InvalidArgument that names an unknown or wrong one."""
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise InvalidArgument("config", f"{file}: {error}") from None
    return settings_of(values, environment)


def settings_of(values: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings by sections of values, which variables overrule. Raises InvalidArgument."""
    settings = Settings()
    known = {section.name for section in fields(Settings)}
    for section in values:
        if section not in known:
            raise InvalidArgument(section, f"is no section; known: {', '.join(sorted(known))}")
    for name in known:
        section = _fill(getattr(settings, name), name, values.get(name, {}), environment)
        settings = replace(settings, **{name: section})
    return settings


def _fill(
    section: Any, name: str, values: Mapping[str, Any], environment: Mapping[str, str]
) -> Any:
    known = {key.name for key in fields(section)}
    changes: dict[str, Any] = {}
    if not isinstance(values, Mapping):
        raise InvalidArgument(name, "must be a section, as in [server]")
    prefix = f"AKIDB_{name}_".upper()
    for variable in environment:
        if variable.startswith(prefix) and variable.removeprefix(prefix).lower() not in known:
            raise InvalidArgument(variable, f"is not known; keys: {', '.join(sorted(known))}")
    for key, value in values.items():
        if key not in known:
            raise InvalidArgument(
                f"{name}.{key}", f"is not known; known: {', '.join(sorted(known))}"
            )
        changes[key] = _convert(getattr(section, key), value, f"{name}.{key}")
    for key in known:
        variable = f"AKIDB_{name}_{key}".upper()
        if variable in environment:
            changes[key] = _convert(getattr(section, key), environment[variable], variable)
    return replace(section, **changes)


def _convert(default: Any, value: Any, field_name: str) -> Any:
    """A value from a file or a variable, as the type of the default."""
    try:
        if isinstance(default, tuple):
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(str(part).strip() for part in parts if str(part).strip())
        if isinstance(value, bool) or (isinstance(default, int) and isinstance(value, float)):
            raise TypeError
        converted = type(default)(value)
        if not isinstance(converted, str) and not converted >= 0:
            raise ValueError
        return converted
    except (TypeError, ValueError):
        wanted = type(default).__name__
        raise InvalidArgument(field_name, f"{value!r} is no valid {wanted}") from None
