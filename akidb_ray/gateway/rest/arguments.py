"""What the function of a route takes, found in its request.

Functions are declared as FastAPI wants it, and FastAPI makes the contract of what is declared. To
have it call them, too, costs more than most searches, so they are called from here: this knows the
few kinds of parameters that our routes have, and refuses any other when a route is made.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, get_args, get_origin

from fastapi import params
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, TypeAdapter, ValidationError

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.gateway.rest.complaints import complaint_of, reason_of_unknown
from akidb_ray.gateway.rest.context import Call
from akidb_ray.gateway.rest.json_body import decode_json

Getter = Callable[[Call], Any]


class Arguments:
    """How one function is called. `in_path` are the parameters of its path; `checks` must pass
    before. Unless it `knows_query`, any query is let pass.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        in_path: Collection[str],
        checks: Sequence[params.Depends] = (),
        knows_query: bool = True,
    ) -> None:
        self._knows_query = knows_query
        self._in_path = in_path
        self._in_query: set[str] = set()
        self._checks = [self._dependency(check, None) for check in checks]
        self._getters = self._getters_of(function)

    def of(self, call: Call) -> dict[str, Any]:
        """Raises InvalidArgument that names what is wrong, Malformed for a body that is no JSON."""
        if self._knows_query and call.scope["query_string"]:
            self._check_query(call)
        for check in self._checks:
            check(call)
        return {name: get(call) for name, get in self._getters}

    def _check_query(self, call: Call) -> None:
        given = Counter(name for name, _ in call.query_params.multi_items())
        for name, times in given.items():
            if name not in self._in_query:
                raise InvalidArgument(name, reason_of_unknown(name, self._in_query))
            if times > 1:
                raise InvalidArgument(name, "is given twice")

    def _getters_of(self, function: Callable[..., Any]) -> list[tuple[str, Getter]]:
        named = inspect.signature(function).parameters
        return [
            (name, self._getter(name, parameter))
            for name, parameter in named.items()
            if not _is_security(parameter)
        ]

    def _getter(self, name: str, parameter: inspect.Parameter) -> Getter:
        annotation, default = parameter.annotation, parameter.default
        kind, role = annotation, None
        if get_origin(annotation) is Annotated:
            kind, role = get_args(annotation)[:2]
        if annotation is Call:
            return _itself
        if name in self._in_path:
            return lambda call: call.scope["path_params"][name]
        if isinstance(role, params.Depends):
            return self._dependency(role, default)
        if isinstance(role, params.Header):
            header = str(role.alias).lower()
            return lambda call: call.given.get(header, default)
        if isinstance(role, params.Query):
            return self._query(role, kind, default)
        if role is None and annotation is not inspect.Parameter.empty:
            return _body(TypeAdapter(annotation), default)
        raise TypeError(f"a route can't have the parameter {name}: {annotation}")

    def _dependency(self, role: params.Depends, default: Any) -> Getter:
        function = role.dependency
        assert function is not None
        getters = self._getters_of(function)
        if [get for _, get in getters] == [_itself]:
            return function
        return lambda call: function(**{name: get(call) for name, get in getters})

    def _query(self, role: params.Query, kind: Any, default: Any) -> Getter:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            self._in_query.update(kind.model_fields)
            adapter = TypeAdapter(kind)
            return lambda call: _checked(adapter, dict(call.query_params))
        alias = str(role.alias)
        self._in_query.add(alias)
        return lambda call: call.query_params.get(alias, default)


def _itself(call: Call) -> Call:
    return call


def _is_security(parameter: inspect.Parameter) -> bool:
    """Whether it only tells OpenAPI how to authenticate."""
    roles = get_args(parameter.annotation)[1:]
    return any(isinstance(getattr(role, "dependency", None), SecurityBase) for role in roles)


def _body(adapter: TypeAdapter[Any], default: Any) -> Getter:
    def get(call: Call) -> Any:
        value = decode_json(call.raw_body) if call.raw_body else None
        if value is not None:
            return _checked(adapter, value)
        if default is inspect.Parameter.empty:
            raise InvalidArgument("body", "is required")
        return default

    return get


def _checked(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.validator.validate_python(value)
    except ValidationError as error:
        raise complaint_of(error) from None
