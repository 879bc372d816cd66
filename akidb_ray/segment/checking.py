"""Looking for damage in a sealed segment, and making its derived files again."""

from dataclasses import dataclass
from pathlib import PurePath

from akidb_ray.domain.collection import Language
from akidb_ray.domain.errors import AkiDBError, Corrupt, InvalidArgument
from akidb_ray.segment.column_files import encode_columns
from akidb_ray.segment.documents import decode_documents
from akidb_ray.segment.id_index import encode_ids
from akidb_ray.segment.merged_postings import postings_of
from akidb_ray.segment.posting_files import encode_postings
from akidb_ray.segment.sealed import (
    COLUMNS,
    DERIVED,
    DESCRIPTION,
    DOCUMENTS,
    IDS,
    POSTINGS,
    map_checked,
    read_description,
)
from akidb_ray.segment.segment_writer import flats_of, write_description, write_file
from akidb_ray.segment.terms import analyzer_of
from akidb_ray.storage.filesystem import FileSystem


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What was found of one file. A `derived` one can be made again from the others."""

    name: str
    size_bytes: int
    ok: bool
    reason: str = ""
    derived: bool = False


def check_segment(fs: FileSystem, path: PurePath, checksum: int) -> list[FileCheck]:
    """Compare the files of a segment with their checksums; damage is a finding, not an error."""
    try:
        description = read_description(fs, path, checksum)
    except AkiDBError as error:
        return [_check(fs, path, DESCRIPTION, error)]
    checks = [_check(fs, path, DESCRIPTION, None)]
    for name, facts in description.files.items():
        try:
            map_checked(fs, path / name, facts)
        except AkiDBError as error:
            checks.append(_check(fs, path, name, error))
        else:
            checks.append(_check(fs, path, name, None))
    return checks


def _check(fs: FileSystem, path: PurePath, name: str, error: AkiDBError | None) -> FileCheck:
    size_bytes = fs.size_bytes(path / name) if fs.exists(path / name) else 0
    reason = "" if error is None else str(error.fields.get("reason", error.detail))
    return FileCheck(name, size_bytes, error is None, reason, name in DERIVED)


def rebuild_derived(
    fs: FileSystem,
    source: PurePath,
    target: PurePath,
    checksum: int,
    language: Language = Language.ENGLISH,
) -> int:
    """Write the segment in `source` anew in `target`, its derived files made from the others.

    `language` is that of the collection. Returns the new checksum. Raises Corrupt when vectors or
    documents are damaged; then there is no `target`.
    """
    description = read_description(fs, source, checksum)
    # Those that this version does not know are carried on too.
    kept = [name for name in description.files if name not in DERIVED]
    for name in kept:
        map_checked(fs, source / name, description.files[name])
    try:
        documents = decode_documents(fs.map(source / DOCUMENTS), description.rows)
        ids, columns = encode_ids(documents.column("id")), encode_columns(flats_of(documents))
    except (ValueError, InvalidArgument) as error:
        raise Corrupt(str(source / DOCUMENTS), f"cannot be decoded: {error}") from error
    postings = postings_of(documents.column("text").to_pylist(), analyzer_of(language))
    fs.create_directory(target)
    files = {}
    for name in kept:
        fs.copy_in(target / name, fs, source / name)
        facts = description.files[name]
        files[name] = {"size_bytes": facts.size_bytes, "crc32c": facts.crc32c}
    files[IDS] = write_file(fs, target / IDS, ids)
    files[COLUMNS] = write_file(fs, target / COLUMNS, columns)
    files[POSTINGS] = write_file(fs, target / POSTINGS, encode_postings(postings))
    return write_description(fs, target, description.rows, description.dimension, files)
