from pathlib import Path

import pytest

from akidb_ray.segment import rows, sealed
from akidb_ray.storage.os_filesystem import OsFileSystem


@pytest.fixture
def fs(tmp_path: Path) -> OsFileSystem:
    return OsFileSystem(tmp_path)


@pytest.fixture
def same_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids have the same hash when their last characters are the same."""

    def hash_of(document_id: str) -> int:
        return ord(document_id[-1]) if document_id else 0

    monkeypatch.setattr(rows, "document_hash", hash_of)
    monkeypatch.setattr(sealed, "document_hash", hash_of)
