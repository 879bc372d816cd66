"""Where things lie in a data folder, and which stores are in it."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from akidb_ray.domain.errors import InvalidState, NotFound
from akidb_ray.domain.ids import ClusterId, StoreId
from akidb_ray.storage.os_filesystem import OsFileSystem
from akidb_ray.storage.store import read_identity

_CATALOG_FOLDER = "catalog"
_CATALOG_FILE = "catalog.sqlite"
_STORES_FOLDER = "stores"


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """A store that may be in use."""

    path: Path
    store_id: StoreId
    cluster_id: ClusterId


def catalog_file(data_dir: Path) -> Path:
    """The catalog's SQLite file. What belongs to it, its lock and its backups, lies beside it."""
    return data_dir / _CATALOG_FOLDER / _CATALOG_FILE


def store_folder(data_dir: Path, number: int) -> Path:
    """Where a machine's shard host of that number keeps its store."""
    return data_dir / _STORES_FOLDER / f"{number:04d}"


def has_store_folders(data_dir: Path) -> bool:
    """Whether there is anything where stores lie, be it a store or not. Raises StorageFailed."""
    return bool(OsFileSystem(data_dir).list(PurePosixPath(_STORES_FOLDER)))


def stores_in(data_dir: Path) -> list[StoreFolder]:
    """The stores of a data folder, in the order of their names. Raises StorageFailed, Corrupt."""
    parent = data_dir / _STORES_FOLDER
    found = []
    for path in sorted(parent.iterdir()) if parent.is_dir() else []:
        # A folder without an identity never held a document.
        with contextlib.suppress(NotFound):
            found.append(StoreFolder(path, *read_identity(OsFileSystem(path))))
    return found


def cluster_of(stores: Sequence[StoreFolder]) -> ClusterId | None:
    """Whose stores they are, None without any. Raises InvalidState for more than one cluster's."""
    clusters = sorted({store.cluster_id for store in stores})
    if len(clusters) > 1:
        owners = " and ".join(map(str, clusters))
        raise InvalidState("data folder", f"holding stores of clusters {owners}", "one catalog")
    return clusters[0] if clusters else None
