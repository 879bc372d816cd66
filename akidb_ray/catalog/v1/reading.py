"""Finding the manifests in a data folder of AkiDB 1.x. Nothing in it is ever written.

They are `tenants/<id>.json` or `tenants/<id>/manifest.json`, and both may occur in one folder. What
bears the name of a manifest must be one: to pass over it would lose a tenant. All else under
`tenants/` is passed over and reported.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from akidb_ray.catalog.v1.manifests import BadManifest, V1Tenant, parse_manifest, parse_tenant_id
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.ids import TenantId

TENANTS_FOLDER = "tenants"
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1024**2

_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class V1Data:
    """What a data folder holds. The tenants are in the order of their creation.

    `problems` are files that can't be migrated; `ignored`, paths that bear no manifest's name.
    """

    tenants: tuple[V1Tenant, ...]
    problems: tuple[BadManifest, ...]
    ignored: tuple[str, ...]


def read_v1(data_dir: Path) -> V1Data:
    """Read all manifests. Raises InvalidArgument when the folder is none of AkiDB 1.x."""
    folder = data_dir / TENANTS_FOLDER
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InvalidArgument(
            "v1_data_dir", f"the folder {folder} can't be read: {error.strerror}"
        ) from None
    tenants: list[V1Tenant] = []
    problems: list[BadManifest] = []
    ignored: list[str] = []
    flat = {_id_in(name.removesuffix(_SUFFIX)) for name in names if name.endswith(_SUFFIX)}
    for name in names:
        try:
            manifest = _manifest_of(folder, name)
            if manifest is not None:
                tenants.append(_read(data_dir, manifest, name.removesuffix(_SUFFIX)))
            else:
                _check_no_tenant(name, flat)
                ignored.append(f"{TENANTS_FOLDER}/{name}")
        except BadManifest as error:
            problems.append(error)
    problems += _repeated(tenants)
    return V1Data(
        tenants=tuple(sorted(tenants, key=lambda tenant: (tenant.created_at, tenant.tenant_id))),
        problems=tuple(sorted(problems, key=lambda problem: str(problem.fields["file"]))),
        ignored=tuple(ignored),
    )


def _manifest_of(folder: Path, name: str) -> str | None:
    """The path of the manifest that an entry is or holds, below the data's folder."""
    file = f"{TENANTS_FOLDER}/{name}"
    if name.startswith("."):
        return None
    if name.endswith(_SUFFIX):
        return file
    with _readable(file):
        try:
            (folder / name / MANIFEST).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    return f"{file}/{MANIFEST}"


def _check_no_tenant(name: str, flat: Collection[TenantId | None]) -> None:
    """Raise BadManifest when an entry without a manifest is named after a tenant that has none.

    `flat` are the ids whose manifest lies beside the folder with their data.
    """
    tenant_id = _id_in(name)
    if tenant_id is not None and tenant_id not in flat:
        raise BadManifest(
            f"{TENANTS_FOLDER}/{name}", f"is named after a tenant, but no {MANIFEST} is in it"
        )


def _read(data_dir: Path, file: str, name: str) -> V1Tenant:
    path = data_dir / file
    with _readable(file):
        # A pipe or a device would be waited for.
        if path.exists() and not path.is_file() and not path.is_dir():
            raise BadManifest(file, "is not a regular file")
        with path.open("rb") as opened:
            content = opened.read(MAX_MANIFEST_BYTES + 1)
    if len(content) > MAX_MANIFEST_BYTES:
        raise BadManifest(file, f"is larger than {MAX_MANIFEST_BYTES} bytes")
    tenant = parse_manifest(file, content)
    if _id_in(name) != tenant.tenant_id:
        raise BadManifest(
            file, f"is {tenant.tenant_id}, which is not what the file is named after", "tenant_id"
        )
    return tenant


def _repeated(tenants: Iterable[V1Tenant]) -> Iterator[BadManifest]:
    first: dict[TenantId, str] = {}
    for tenant in tenants:
        other = first.setdefault(tenant.tenant_id, tenant.file)
        if other != tenant.file:
            yield BadManifest(
                tenant.file, f"{tenant.tenant_id} is that of {other}, too", "tenant_id"
            )


def _id_in(name: str) -> TenantId | None:
    try:
        return parse_tenant_id(name)
    except InvalidArgument:
        return None


@contextmanager
def _readable(file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadManifest(file, f"can't be read: {error.strerror}") from None
