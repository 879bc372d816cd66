"""Flows of the client carried out against a script of outcomes, on a clock that only waits move."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from akidb.errors import AkiDBError
from akidb.flows import Calls, Flow, Retries, Send
from akidb.requests import Reply, Request, to_json

T = TypeVar("T")


@dataclass
class Script:
    """Gives the outcomes in their order. Each request takes `takes_s`."""

    outcomes: list[Reply | AkiDBError]
    takes_s: float = 0.0
    now_s: float = 0.0
    requests: list[Request] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)

    def calls(self, timeout_s: float = 60.0, retries: Retries | None = None) -> Calls:
        return Calls(timeout_s, retries or Retries(), now=lambda: self.now_s, chance=lambda: 0.0)

    def run(self, flow: Flow[T]) -> T:
        outcome: Reply | AkiDBError | None = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Send):
                    self.requests.append(step.request)
                    self.timeouts_s.append(step.timeout_s)
                    self.now_s += self.takes_s
                    outcome = self.outcomes.pop(0)
                else:
                    self.waits_s.append(step.seconds)
                    self.now_s += step.seconds
                    outcome = None
        except StopIteration as end:
            value: T = end.value
            return value


def answer(body: Any, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, to_json(body))


def problem(status: int, code: str, retry_after_s: int | None = None, **fields: Any) -> Reply:
    headers = {"content-type": "application/problem+json"}
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    document = {"status": status, "code": code, "detail": f"it is {code}", **fields}
    return Reply(status, headers, to_json(document))


def raised_by(action: Callable[[], Any], kind: type[BaseException] = AkiDBError) -> Any:
    """The exception; fails when there is none."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def bodies(requests: Iterable[Request]) -> list[Any]:
    import json

    return [json.loads(request.content or b"null") for request in requests]
