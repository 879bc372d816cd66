"""The server against its own contract: schemathesis sends what the contract allows and what it
forbids, and compares each answer with what the contract says of it.

The same cases come at each run.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.pytest.lazy import get_all_tests

from akidb_ray.gateway.rest.contract import contract
from tests.in_process import MODEL
from tests.over_wire import served_database
from tests.serving import COLLECTIONS, ROOT_KEY
from tests.unit.gateway.films import film

# The others need what these change or take away.
ENDS_ITS_SUBJECT = [
    "decommission_tenant",
    "purge_tenant",
    "suspend_tenant",
    "update_tenant",
    "update_database",
    "delete_database",
    "update_collection",
    "delete_collection",
]
# There is no job, and the model of the example is not served.
NEVER_CARRIED_OUT = {"get_job", "cancel_job", "create_embeddings"}
EXAMPLES_PER_OPERATION = 12


def schema_of(parameters: dict[str, str]) -> Any:
    config = SchemathesisConfig.from_dict(
        {
            "auth": {"openapi": {"HTTPBearer": {"bearer": ROOT_KEY}}},
            "parameters": parameters,
            "generation": {
                "deterministic": True,
                "max-examples": EXAMPLES_PER_OPERATION,
                "no-shrink": True,
            },
            "checks": {
                # JSON Schema can't say that exactly one of three fields is given, what a filter is,
                # how many numbers the vectors of a collection have or results all searches ask for.
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", 401, 403, 404, 409, 412, 413, 422, 429]
                },
            },
            "operations": [
                {
                    # A document may have the id `get`, so GET is allowed at this path, too.
                    "include-path-regex": r".*/documents/(get|patch|delete|scroll)$",
                    "checks": {"allow_header_conformance": {"enabled": False}},
                }
            ],
        }
    )
    return schemathesis.openapi.from_dict(contract(), config=config)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served_database(tmp_path_factory.mktemp("database")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {ROOT_KEY}"}) as client:
        yield client


def put_films(client: httpx.Client) -> None:
    documents = [{**film(number), "vector": None} for number in range(20)]
    written = client.put(f"{COLLECTIONS}/films/documents", json={"documents": documents})
    assert written.status_code == 200, written.text


# Not by `schema.parametrize()`: it gives all operations one node id, and pytest-xdist, which tells
# tests apart by it, would run the first one only.
def failures_of(schema: Any, url: str, reached: dict[str, set[int]], client: Any = None) -> str:
    """What does not keep the contract; notes the statuses that each operation was answered."""

    def ask(case: schemathesis.Case) -> None:
        answer = case.call_and_validate(base_url=url)
        name = str(case.operation.definition.raw["operationId"])
        reached.setdefault(name, set()).add(answer.status_code)

    found = []
    for made in get_all_tests(schema=schema, test_func=ask, settings=None, given_kwargs=None):
        operation, test = made.ok()
        if client is not None:
            put_films(client)
        try:
            test()
        except FailureGroup as group:
            found += [f"{operation.label}: {failure}" for failure in group.exceptions]
    return "\n\n".join(found)


def test_whatever_is_asked_for_is_answered_as_the_contract_says(url: str) -> None:
    reached: dict[str, set[int]] = {}
    failures = failures_of(schema_of({}), url, reached)
    assert not failures, failures
    assert len(reached) > 30


def test_what_exists_is_answered_as_the_contract_says(url: str, client: httpx.Client) -> None:
    settings = {"name": "films", "embedding_model": MODEL, "shard_count": 2}
    assert client.post(COLLECTIONS, json=settings).status_code == 201
    names = {"tenant": "default", "database": "default", "collection": "films"}
    there = {f"path.{kind}": name for kind, name in {**names, "document_id": "tt01"}.items()}
    schema = schema_of(there).exclude(operation_id=ENDS_ITS_SUBJECT)
    reached: dict[str, set[int]] = {}
    failures = failures_of(schema, url, reached, client)
    assert not failures, failures
    never = {name for name, statuses in reached.items() if not statuses & {200, 201, 202, 204}}
    assert never <= NEVER_CARRIED_OUT
