"""Ray's errors, as ours. They die here: no other room imports `ray.exceptions`."""

import ray.exceptions

from akidb_ray.domain.errors import AkiDBError, DeadlineExceeded, Internal, Unavailable

# The actor is restarting, or its process died under the call: the same call may work later.
RETRYABLE = (
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.ActorDiedError,
    ray.exceptions.WorkerCrashedError,
)


def translate(error: BaseException, what: str) -> AkiDBError:
    """`what` names the callee, as in "the shard host of store 01..."."""
    if isinstance(error, AkiDBError) and not isinstance(error, ray.exceptions.RayTaskError):
        return error
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = error.cause
        if isinstance(cause, AkiDBError):
            return cause
        return Internal(f"{what} failed: {type(cause).__name__}")
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(f"{what} did not answer in time")
    if isinstance(error, ray.exceptions.RayError):
        return Unavailable(f"{what} can't be reached now")
    raise error
