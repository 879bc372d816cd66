"""Parameters of queries: one that a route does not know, or that is given twice, is refused."""

from collections import Counter

from fastapi import Depends, Request

from akidb_ray.domain.errors import InvalidArgument


async def _only_known(request: Request) -> None:
    """Compares with what OpenAPI says of the route, so the contract and the check are one."""
    if not request.query_params:
        return
    operations = request.app.openapi()["paths"][request.scope["route"].path_format]
    parameters = operations[request.method.lower()].get("parameters", ())
    known = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    given = Counter(name for name, _ in request.query_params.multi_items())
    for name, times in given.items():
        if name not in known:
            raise InvalidArgument(name, "is not known here")
        if times > 1:
            raise InvalidArgument(name, "is given twice")


ONLY_KNOWN_PARAMETERS = Depends(_only_known)
