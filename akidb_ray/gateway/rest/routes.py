"""Which function answers a request: found by method, path and the kind of its body."""

import re
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute

from akidb_ray.domain.errors import NotFound
from akidb_ray.gateway.rest.arguments import Arguments
from akidb_ray.gateway.rest.arrow_routes import ArrowRoute
from akidb_ray.gateway.rest.arrow_stream import ARROW_STREAM
from akidb_ray.gateway.rest.context import Call
from akidb_ray.gateway.rest.leaving import is_given_up

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


class MethodNotAllowed(Exception):
    """Others are `allowed` at this path."""

    def __init__(self, allowed: frozenset[str]) -> None:
        super().__init__(f"allowed: {', '.join(sorted(allowed))}")
        self.allowed = allowed


class PageRoute(APIRoute):
    """A page for people: what its query says is for the page."""


@dataclass(frozen=True, slots=True)
class Route:
    path: re.Pattern[str]
    methods: frozenset[str]
    of_arrow: bool
    given_up: bool
    endpoint: Callable[..., Coroutine[Any, Any, Response]]
    arguments: Arguments

    @classmethod
    def of(cls, declared: APIRoute) -> "Route":
        path = _pattern(declared.path)
        endpoint, methods = declared.endpoint, frozenset(declared.methods or ())
        return cls(
            path=path,
            methods=methods,
            of_arrow=isinstance(declared, ArrowRoute),
            given_up=methods == {"GET"} or is_given_up(endpoint),
            endpoint=endpoint,
            arguments=Arguments(
                endpoint,
                path.groupindex,
                declared.dependencies,
                not isinstance(declared, PageRoute),
            ),
        )


class Routes:
    """Looked through from the first on."""

    def __init__(self, declared: Iterable[APIRoute]) -> None:
        self._all = [Route.of(route) for route in declared]
        methods = {method for route in self._all for method in route.methods}
        self._by_method = {
            method: [route for route in self._all if method in route.methods] for method in methods
        }

    def find(self, call: Call) -> Route:
        """Tells the call its path parameters. Raises NotFound, MethodNotAllowed."""
        path: str = call.scope["path"]
        for route in self._by_method.get(call.method, ()):
            if route.of_arrow and call.sent_as != ARROW_STREAM:
                continue
            found = route.path.fullmatch(path)
            if found is not None:
                call.scope["path_params"] = found.groupdict()
                return route
        others = [route.methods for route in self._all if route.path.fullmatch(path)]
        if others:
            raise MethodNotAllowed(frozenset().union(*others))
        raise NotFound("route", path)


def _pattern(path: str) -> re.Pattern[str]:
    """A parameter takes one segment; one of a document's id all that follows, line breaks too."""
    parts, end = [], 0
    for found in _PARAMETER.finditer(path):
        parts.append(re.escape(path[end : found.start()]))
        parts.append(f"(?P<{found[1]}>{'.*' if found[2] else '[^/]+'})")
        end = found.end()
    return re.compile("".join(parts) + re.escape(path[end:]), re.DOTALL)
