"""A small synchronous client of the REST API: requests out, answers or errors in."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from akidb_ray.cli.misuse import Misuse
from akidb_ray.domain.errors import Unavailable

TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 5.0
_STANDARD_MEMBERS = {"type", "title", "status", "detail", "code"}


class ApiError(Exception):
    """The server's answer to a request that it did not carry out.

    Not of our own tree, because the server may be of a version with codes that are not in it.
    `fields` are the members of the problem document beyond the standard ones, such as `row`;
    `retry_after_s` is there when the server named a time.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        fields: Mapping[str, Any],
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = dict(fields)
        self.retry_after_s = retry_after_s


class Client:
    """Holds connections to one server. Safe to use from several threads."""

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.url = _check_url(url)
        self._http = httpx.Client(
            headers=_headers(api_key),
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S),
            # A proxy that the environment names is none for this machine itself.
            trust_env=not _is_loopback(self.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.request("POST", path, body=body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """The decoded answer, None for an empty one. `content` is a body in JSON already.

        Raises ApiError when the server refused, Unavailable when it cannot be reached.
        """
        headers = {"content-type": "application/json"} if content is not None else None
        try:
            response = self._http.request(
                method,
                self.url + path,
                json=body,
                content=content,
                params=query,
                headers=headers,
            )
        except httpx.TimeoutException:
            raise Unavailable(f"{self.url} did not answer in time") from None
        except httpx.TransportError as error:
            raise Unavailable(
                f"can't reach {self.url}: is `akidb serve` running? ({error})"
            ) from None
        except httpx.InvalidURL as error:
            raise Misuse("url", f"{self.url!r}: {error}") from None
        return self._read(response)

    def _read(self, response: httpx.Response) -> Any:
        try:
            answer = response.json() if response.content else None
        except ValueError:
            answer = response.text
        if response.is_success and not isinstance(answer, str):
            return answer
        if isinstance(answer, dict) and "detail" in answer:
            raise _problem(response, answer)
        raise ApiError(
            response.status_code,
            "unknown",
            f"{self.url} answered {response.status_code} {response.reason_phrase}, "
            "but not as AkiDB does: is this its address?",
            {},
            _retry_after_s(response),
        )


class CollectionClient:
    """One collection of a server."""

    def __init__(self, client: Client, tenant: str, database: str, collection: str) -> None:
        self._client = client
        self.path = path_of("tenants", tenant, "databases", database, "collections", collection)

    def describe(self) -> dict[str, Any]:
        """Its settings, and under `status` how much of it is indexed."""
        return dict(self._client.get(self.path))

    def upsert(self, documents: Iterable[bytes]) -> int:
        """Write documents, each one encoded in JSON; return how many were acknowledged."""
        content = b'{"documents":[' + b",".join(documents) + b"]}"
        answer = self._client.request("PUT", f"{self.path}/documents", content=content)
        return int(answer["acknowledged"])

    def search(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """`query` is the request's body: `text` or `vector`, `limit`, `filter`, ..."""
        return dict(self._client.post(f"{self.path}/search", query))

    def count(self, filter: Mapping[str, Any] | None = None) -> int:
        body = {} if filter is None else {"filter": filter}
        return int(self._client.post(f"{self.path}/count", body)["count"])


def path_of(*parts: str) -> str:
    """A path of the second API from its parts, which may hold any character."""
    return "/v2/" + "/".join(quote(part, safe="") for part in parts)


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misuse("url", f"{url!r} is not like http://127.0.0.1:8100")
    return url.rstrip("/")


def _headers(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not (api_key.isascii() and api_key.isprintable()):
        raise Misuse("api_key", "has characters that no key has")
    return {"authorization": f"Bearer {api_key}"}


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _problem(response: httpx.Response, document: dict[str, Any]) -> ApiError:
    fields = {name: value for name, value in document.items() if name not in _STANDARD_MEMBERS}
    return ApiError(
        response.status_code,
        str(document.get("code", "unknown")),
        str(document["detail"]),
        fields,
        _retry_after_s(response),
    )


def _retry_after_s(response: httpx.Response) -> float | None:
    """The header in seconds. Its other form, a date, is as good as none: we back off anyway."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None
