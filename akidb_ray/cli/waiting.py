"""Waiting for a job's end, with a bar for those who watch."""

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

from akidb_ray.cli.client import ApiError, Client, path_of
from akidb_ray.cli.progress import JobProgress
from akidb_ray.domain.jobs import JobState

_FIRST_LOOK_S = 0.1
_LOOK_GROWTH = 1.5
_LAST_LOOK_S = 2.0


def wait_for_job(client: Client, job: Mapping[str, Any], shown: bool) -> None:
    """Return when it has succeeded. Raises ApiError when it failed or was cancelled.

    Whoever stops waiting does not stop the job.
    """
    pauses = _pauses()
    with JobProgress(_describe(job), shown) as progress:
        while job["state"] == JobState.RUNNING:
            progress.show(job["done"], job["total"], job["error"])
            time.sleep(next(pauses))
            job = client.get(path_of("jobs", job["job_id"]))
    if job["state"] != JobState.SUCCEEDED:
        reason = f": {job['error']}" if job["error"] else ""
        detail = f"{_describe(job)} {job['state']}{reason}"
        raise ApiError(202, f"job_{job['state']}", f"{detail} (job {job['job_id']})", job)


def _pauses() -> Iterator[float]:
    for number in itertools.count():
        yield min(_FIRST_LOOK_S * _LOOK_GROWTH**number, _LAST_LOOK_S)


def _describe(job: Mapping[str, Any]) -> str:
    return f"{str(job['kind']).replace('_', ' ')} {job['subject']!r}"
