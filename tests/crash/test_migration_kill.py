"""A migration from 1.x, or its rollback, is killed at a random moment: all is done or nothing."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from akidb_ray.catalog.sqlite.copying import check_database
from akidb_ray.catalog.v1.migration import migrate
from akidb_ray.catalog.v1.rollback import rollback
from tests.unit.catalog.v1_folders import (
    NOW,
    in_catalog,
    make_catalog,
    manifests,
    tenants_in,
    tree,
    write,
)

pytestmark = pytest.mark.crash

ROUNDS = 5
TENANTS = 100
_WAIT_S = 60.0
_POLL_S = 0.0005


def _log_has(text: str) -> Callable[[Path], bool]:
    def reached(file: Path) -> bool:
        log = file.parent / "migration.log"
        return log.exists() and text in log.read_text()

    return reached


def _work_grew(size_bytes: int) -> Callable[[Path], bool]:
    def reached(file: Path) -> bool:
        work = file.parent / f".{file.name}.v1-work"
        try:
            return sum(path.stat().st_size for path in work.iterdir()) > size_bytes
        except FileNotFoundError:
            return False

    return reached


def _backup_begun(file: Path) -> bool:
    return any(file.parent.glob(f"{file.name}.before-v1-*"))


def _moment(rng: random.Random, command: str) -> Callable[[Path], bool]:
    """When to kill. Some are never reached: then the command ends."""
    if command == "rollback":
        return rng.choice(
            (_work_grew(0), _work_grew(200_000), _log_has("rollback of"), _log_has("rollback done"))
        )
    return rng.choice(
        (
            _log_has("begins"),
            _work_grew(rng.randrange(1_000_000)),
            _log_has(": migrate, slug"),
            _backup_begun,
            _log_has("migration done"),
        )
    )


def _run_and_kill(
    arguments: list[str], file: Path, reached: Callable[[Path], bool], delay_s: float
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "akidb_ray.cli.main", "migrate", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    give_up_at = time.monotonic() + _WAIT_S
    while child.poll() is None and not reached(file):
        assert time.monotonic() < give_up_at
        time.sleep(_POLL_S)
    time.sleep(delay_s)
    child.kill()
    _, errors = child.communicate()
    assert child.returncode in (0, -signal.SIGKILL), errors


def _migrated(file: Path) -> int:
    """How many tenants of 1.x are there, in a catalog that is sound and whole."""
    if not file.exists():
        return 0
    assert check_database(file) == []
    tenants = tenants_in(file)
    in_catalog(file, lambda catalog: catalog.get_tenant("default"))
    return len(tenants)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("seed", [1])
def test_killed_migration_has_done_all_or_nothing(
    tmp_path: Path, existing: bool, seed: int
) -> None:
    rng = random.Random(seed)
    v1 = write(tmp_path / "v1", manifests(TENANTS, seed), seed)
    before = tree(v1)
    file = tmp_path / "v2" / "catalog.sqlite"
    arguments = ["v1-to-v2", "--v1-data-dir", str(v1), "--v2-database", str(file)]
    found = set()
    for _ in range(ROUNDS):
        shutil.rmtree(file.parent, ignore_errors=True)
        file.parent.mkdir()
        if existing:
            make_catalog(file)
        _run_and_kill(arguments, file, _moment(rng, "v1-to-v2"), rng.random() * 0.02)
        count = _migrated(file)
        assert count in (0, TENANTS)
        assert file.exists() or not existing
        found.add(count)
        # Whatever was left, the next run ends what this one began.
        migrate(v1, file, lambda: NOW)
        assert _migrated(file) == TENANTS
        assert not (file.parent / f".{file.name}.v1-work").exists()
    assert tree(v1) == before
    assert 0 in found


@pytest.mark.parametrize("existing", [False, True])
def test_killed_rollback_has_done_all_or_nothing(tmp_path: Path, existing: bool) -> None:
    rng = random.Random(2)
    v1 = write(tmp_path / "v1", manifests(TENANTS, 2))
    original = tmp_path / "original" / "catalog.sqlite"
    original.parent.mkdir()
    if existing:
        make_catalog(original)
    migrate(v1, original, lambda: NOW)
    file = tmp_path / "v2" / "catalog.sqlite"
    for _ in range(ROUNDS):
        shutil.rmtree(file.parent, ignore_errors=True)
        shutil.copytree(original.parent, file.parent)
        arguments = ["rollback", "--v2-database", str(file)]
        _run_and_kill(arguments, file, _moment(rng, "rollback"), rng.random() * 0.01)
        count = _migrated(file)
        assert count in (0, TENANTS)
        if count:
            rollback(file, lambda: NOW)
        assert _migrated(file) == 0
        assert file.exists() is existing
