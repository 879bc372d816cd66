"""Routes of jobs, and the answer of routes that begin one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from akidb_ray.domain.jobs import Job, JobState
from akidb_ray.gateway.rest.answers import job_json, json_response
from akidb_ray.gateway.rest.context import Caller, Use
from akidb_ray.gateway.rest.lists import JobList, listing_of, page_response
from akidb_ray.gateway.rest.refusals import may_refuse
from akidb_ray.gateway.rest.schemas import JobAnswer, JobsAnswer
from akidb_ray.gateway.services import Services

router = APIRouter(prefix="/v2/jobs", tags=["jobs"])

BEGUN: dict[int | str, dict[str, Any]] = {
    202: {
        "model": JobAnswer,
        "description": "The job runs on, or was cancelled or failed: see `state`. `Location` is "
        "where the job can be watched.",
        "headers": {
            "Location": {
                "description": "Path of the job.",
                "schema": {"type": "string", "examples": ["/v2/jobs/0198c0de-..."]},
            }
        },
    }
}
"""What OpenAPI says of routes that answer by `removal_response`."""


async def removal_response(services: Services, job: Job, wait_s: float) -> Response:
    """204 when all that the job removes is gone within the time, else 202 with the job."""
    job = await services.jobs.wait(job, wait_s)
    if job.state is JobState.SUCCEEDED:
        return Response(status_code=204)
    return json_response(job_json(job), 202, {"location": f"/v2/jobs/{job.job_id}"})


@router.get(
    "",
    summary="List jobs, of one tenant or all",
    response_model=JobsAnswer,
    responses=may_refuse(404),
)
async def list_jobs(services: Use, caller: Caller, query: Annotated[JobList, Query()]) -> Response:
    jobs = await services.jobs.list(caller, listing_of(query, query.state), query.tenant)
    return page_response("jobs", jobs, job_json)


@router.get("/{job}", summary="Get a job: its state and progress", response_model=JobAnswer)
async def get_job(services: Use, caller: Caller, job: str) -> Response:
    return json_response(job_json(await services.jobs.get(caller, job)))


@router.post(
    "/{job}/cancel",
    summary="Ask a job to stop at its next step",
    description="Only a purge can be cancelled: what is half deleted has no way back.",
    response_model=JobAnswer,
    responses=may_refuse(409),
)
async def cancel_job(services: Use, caller: Caller, job: str) -> Response:
    return json_response(job_json(await services.jobs.cancel(caller, job)))
