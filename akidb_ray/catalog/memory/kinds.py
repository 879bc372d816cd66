"""What the catalog knows of each kind of thing: its key, its parent, and what its fields can hold.

A check raises InvalidArgument, naming the field, for what the tables of `catalog.sqlite` refuse,
and returns the thing as it will be read back.
"""

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from akidb_ray.domain.collection import Collection, CollectionState, check_spec
from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.domain.jobs import Job, JobState
from akidb_ray.domain.tenancy import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_NAME_CHARACTERS,
    Database,
    DatabaseState,
    Tenant,
    TenantStatus,
    User,
    UserStatus,
    check_description,
    check_email,
    check_name,
    check_quota,
    check_slug,
    check_title,
)

Thing = TypeVar("Thing")

UUID_CHARACTERS = 36
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Thing]):
    """`word` names it in errors, `table` in `State`; the rest are names of its fields.

    No two things of one parent share the value of a `unique` field, apart from None; `fixed` fields
    never change. Lists are sorted by `name`, filtered by `state` and searched in `texts`.
    """

    word: str
    table: str
    key: str
    name: str
    state: str
    states: tuple[str, ...]
    check: Callable[[Thing], Thing]
    fixed: tuple[str, ...]
    parent: "Kind[Any] | None" = None
    unique: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


def comparable(field: str, value: Any) -> Any:
    """The value of a field as it is compared and sorted. Two addresses that differ only in the case
    of ASCII letters are one person's.
    """
    return value.translate(_ASCII_LOWER) if field == "email" else value


def _check_tenant(tenant: Tenant) -> Tenant:
    check_title(tenant.name)
    check_slug(tenant.slug)
    check_quota(tenant.quota)
    return replace(tenant, metadata=_read_back(tenant.metadata))


def _read_back(metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument("metadata", "holds something that JSON can't say") from None
    read: dict[str, Any] = json.loads(text)
    return read


def _check_user(user: User) -> User:
    check_email(user.email)
    return replace(user, last_login_at=user.last_login_at and _utc(user.last_login_at))


def _check_database(database: Database) -> Database:
    check_name(database.name)
    check_description(database.description)
    if database.schema_version < 1:
        raise InvalidArgument("schema_version", "must be at least 1")
    return database


def _check_collection(collection: Collection) -> Collection:
    check_name(collection.name)
    check_description(collection.description)
    check_spec(collection.spec)
    if collection.spec.embedding_model is not None:
        check_title(collection.spec.embedding_model, "embedding_model")
    return collection


def _check_job(job: Job) -> Job:
    if len(job.subject_id) != UUID_CHARACTERS:
        raise InvalidArgument("subject_id", "must be a dashed UUID")
    if not 1 <= len(job.subject) <= MAX_NAME_CHARACTERS:
        raise InvalidArgument("subject", f"must be 1 to {MAX_NAME_CHARACTERS} characters")
    if job.total < 0:
        raise InvalidArgument("total", "must not be negative")
    if not 0 <= job.done <= job.total:
        raise InvalidArgument("done", "must be from 0 to the total")
    if job.error is not None and len(job.error) > MAX_DESCRIPTION_CHARACTERS:
        raise InvalidArgument("error", f"must be at most {MAX_DESCRIPTION_CHARACTERS} characters")
    return job


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


TENANT = Kind(
    word="tenant",
    table="tenants",
    key="tenant_id",
    name="slug",
    state="status",
    states=tuple(TenantStatus),
    check=_check_tenant,
    fixed=("created_at",),
    unique=("slug", "external_id"),
    texts=("name", "slug"),
)
USER = Kind(
    word="user",
    table="users",
    key="user_id",
    name="email",
    state="status",
    states=tuple(UserStatus),
    check=_check_user,
    fixed=("created_at", "tenant_id"),
    parent=TENANT,
    unique=("email",),
)
DATABASE = Kind(
    word="database",
    table="databases",
    key="database_id",
    name="name",
    state="state",
    states=tuple(DatabaseState),
    check=_check_database,
    fixed=("created_at", "tenant_id"),
    parent=TENANT,
    unique=("name",),
    texts=("name", "description"),
)
COLLECTION = Kind(
    word="collection",
    table="collections",
    key="collection_id",
    name="name",
    state="state",
    states=tuple(CollectionState),
    check=_check_collection,
    fixed=("created_at", "database_id"),
    parent=DATABASE,
    unique=("name",),
    texts=("name", "description"),
)
JOB = Kind(
    word="job",
    table="jobs",
    key="job_id",
    name="subject",
    state="state",
    states=tuple(JobState),
    check=_check_job,
    fixed=("created_at", "tenant_id"),
)
