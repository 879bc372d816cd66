"""Which requests are sent again, when, and for how long."""

import pytest
from akidb.errors import AkiDBError, ConnectionFailed, DeadlineExceeded, Exhausted, Unavailable
from akidb.flows import Retries
from akidb.requests import Operation, Reply, Request

from tests.unit.client.driving import Script, answer, problem, raised_by

ONCE = Request("POST", "/made", repeatable=False)
OFTEN = Request("GET", "/read")


def operation(request: Request = OFTEN) -> Operation[object]:
    return Operation(request, lambda answer: answer)


def unsent() -> ConnectionFailed:
    failed = ConnectionFailed("can't reach it")
    failed.sent = False
    return failed


def test_what_passes_by_itself_is_sent_again_after_growing_waits() -> None:
    away = [problem(503, "unavailable"), problem(503, "exhausted"), ConnectionFailed("broke")]
    script = Script([*away, answer({"ok": True})])
    assert script.run(script.calls().call(operation())) == {"ok": True}
    assert script.waits_s == [0.1, 0.2, 0.4]
    assert [request.path for request in script.requests] == ["/read"] * 4


def test_a_deadline_that_the_server_kept_is_not_waited_for_again() -> None:
    script = Script([problem(503, "deadline_exceeded", retry_after_s=1)])
    assert isinstance(
        raised_by(lambda: script.run(script.calls().call(operation()))), DeadlineExceeded
    )
    assert len(script.requests) == 1


def test_the_time_that_the_server_names_is_waited_for() -> None:
    script = Script([problem(503, "exhausted", retry_after_s=3), answer({})])
    script.run(script.calls().call(operation()))
    assert script.waits_s == [3.0]


def test_the_last_error_is_raised_when_all_attempts_are_used_up() -> None:
    script = Script([problem(503, "unavailable"), problem(503, "exhausted")])
    call = script.calls(retries=Retries(attempts=2)).call(operation())
    assert isinstance(raised_by(lambda: script.run(call)), Exhausted)
    assert len(script.requests) == 2


def test_no_wait_leads_beyond_the_deadline() -> None:
    script = Script([problem(503, "unavailable", retry_after_s=30)])
    call = script.calls(timeout_s=30).call(operation())
    assert isinstance(raised_by(lambda: script.run(call)), Unavailable)
    assert script.waits_s == []


def test_each_attempt_has_the_time_that_is_left() -> None:
    script = Script([problem(503, "unavailable", retry_after_s=4), answer({})], takes_s=5)
    script.run(script.calls(timeout_s=20).call(operation()))
    assert script.timeouts_s == [20, 11]


def test_nothing_is_sent_when_the_time_is_up() -> None:
    script = Script([])
    call = script.calls(timeout_s=0).call(operation())
    assert isinstance(raised_by(lambda: script.run(call)), DeadlineExceeded)
    assert script.requests == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(422, "invalid_argument"), (404, "not_found"), (429, "quota_exceeded"), (507, "storage_full")],
)
def test_what_does_not_pass_by_itself_is_raised_at_once(status: int, code: str) -> None:
    script = Script([problem(status, code)])
    error = raised_by(lambda: script.run(script.calls().call(operation())))
    assert (error.code, len(script.requests)) == (code, 1)


@pytest.mark.parametrize("outcome", [problem(503, "unavailable"), ConnectionFailed("broke")])
def test_a_request_that_may_have_done_something_is_not_repeated_unless_it_may_be(
    outcome: Reply | AkiDBError,
) -> None:
    script = Script([outcome])
    raised_by(lambda: script.run(script.calls().call(operation(ONCE))))
    assert len(script.requests) == 1


@pytest.mark.parametrize("outcome", [unsent(), problem(429, "rate_limited")])
def test_a_request_that_did_nothing_is_repeated_whatever_it_is(
    outcome: Reply | AkiDBError,
) -> None:
    script = Script([outcome, answer({"made": 1})])
    assert script.run(script.calls().call(operation(ONCE))) == {"made": 1}


def test_waits_grow_up_to_the_longest_and_are_shortened_by_up_to_a_half() -> None:
    retries = Retries(first_wait_s=0.1, longest_wait_s=1.0)
    error = Unavailable("away")
    assert [retries.wait_s(attempt, error, 0.0) for attempt in (1, 2, 5, 9)] == [0.1, 0.2, 1.0, 1.0]
    assert retries.wait_s(9, error, 1.0) == 0.5
