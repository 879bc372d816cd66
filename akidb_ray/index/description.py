"""What `index.json` says of a graph: how it was built, and the checksums of its files."""

import msgspec

from akidb_ray.domain.collection import HnswEngine, Metric
from akidb_ray.domain.errors import Corrupt, InvalidState
from akidb_ray.storage.checksum import crc32c
from akidb_ray.storage.filesystem import Bytes

FORMAT = 1


class FileFacts(msgspec.Struct, frozen=True):
    """Size and CRC-32C of one file."""

    size_bytes: int
    crc32c: int


class GraphDescription(msgspec.Struct, frozen=True):
    """A graph over `rows` vectors of `dimension`; `files` are the facts of its files by name.

    `scale` is what the vectors were divided by before they were indexed, see `HnswBuild`, and
    `entry` the row to start from in a file of links. `even` says that all vectors are about equally
    long.
    """

    format: int
    engine: HnswEngine
    metric: Metric
    dimension: int
    rows: int
    m: int
    ef_construction: int
    scale: float
    files: dict[str, FileFacts]
    entry: int = 0
    even: bool = False


class _Kind(msgspec.Struct):
    format: int
    engine: str


def encode_description(description: GraphDescription) -> bytes:
    return msgspec.json.encode(description)


def decode_description(raw: bytes, name: str, checksum: int) -> GraphDescription:
    """The description in the bytes `raw` of the file `name`, whose CRC-32C must be `checksum`.

    Raises Corrupt, naming the file, and InvalidState for one that a later version wrote.
    """
    if crc32c(raw) != checksum:
        raise Corrupt(name, "its checksum does not fit")
    try:
        kind = msgspec.json.decode(raw, type=_Kind)
        if kind.format != FORMAT:
            _refuse(f"of format {kind.format}", f"format {FORMAT}")
        if kind.engine not in set(HnswEngine):
            _refuse(f"of engine {kind.engine!r}", f"engines {', '.join(HnswEngine)}")
        return msgspec.json.decode(raw, type=GraphDescription)
    except msgspec.MsgspecError as error:
        raise Corrupt(name, f"is no description of a graph: {error}") from error


def _refuse(current: str, known: str) -> None:
    raise InvalidState("index", current, f"reading it with this version, which knows {known}")


def facts_of(data: Bytes) -> FileFacts:
    return FileFacts(len(data), crc32c(data))


def check_facts(name: str, data: Bytes, facts: FileFacts) -> None:
    """Raises Corrupt, naming the file, when `data` is not what was written."""
    if len(data) != facts.size_bytes:
        raise Corrupt(name, f"holds {len(data)} bytes instead of {facts.size_bytes}")
    if crc32c(data) != facts.crc32c:
        raise Corrupt(name, "its checksum does not fit")
