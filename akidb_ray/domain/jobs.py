"""Jobs: long work with a durable record, taken up again after any crash until it has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from akidb_ray.domain.ids import JobId, TenantId


class JobKind(StrEnum):
    """What a job does to its subject."""

    DELETE_COLLECTION = "delete_collection"
    DELETE_DATABASE = "delete_database"
    PURGE_TENANT = "purge_tenant"


class JobState(StrEnum):
    """`running` until it has ended. A crash does not end a job: the next start goes on with it."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


JOB_MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

# Those that can stop half way and leave something whole. What is half deleted has no way back.
CANCELLABLE = frozenset({JobKind.PURGE_TENANT})


@dataclass(frozen=True, slots=True)
class Job:
    """`done` of `total` steps; a step of a deletion is a collection. `subject_id` is the dashed
    UUID of what it works on, and `subject` its name, both as they were at the start.

    `error` says why it failed, or, while it runs, what keeps it from going on.
    """

    job_id: JobId
    kind: JobKind
    state: JobState
    tenant_id: TenantId
    subject_id: str
    subject: str
    created_at: datetime
    updated_at: datetime
    total: int = 0
    done: int = 0
    error: str | None = None
    cancel_requested: bool = False
    version: int = 1

    @property
    def ended(self) -> bool:
        return self.state is not JobState.RUNNING
