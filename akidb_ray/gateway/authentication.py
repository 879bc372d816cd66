"""From a request's headers to a principal."""

from collections.abc import Mapping

from akidb_ray.access.authorization import ROOT, Principal
from akidb_ray.access.exposure import require_own_page
from akidb_ray.access.keys import key_matches
from akidb_ray.domain.errors import Unauthenticated
from akidb_ray.service.catalog_copy import CatalogCopy


class Authenticator:
    """Knows the root key by its hash. With `open_to_all`, everybody is root."""

    def __init__(self, copy: CatalogCopy, open_to_all: bool) -> None:
        self._copy = copy
        self._open_to_all = open_to_all

    async def principal(self, headers: Mapping[str, str]) -> Principal:
        """Raises Unauthenticated, with one text for a missing and a wrong key; Forbidden."""
        if self._open_to_all:
            require_own_page(headers)
            return ROOT
        if not self._copy.is_loaded:
            await self._copy.catch_up()
        key = _key_of(headers)
        stored = self._copy.directory.root_key_hash
        if key is None or stored is None or not key_matches(key, stored):
            raise Unauthenticated(
                "a valid key is required: send 'Authorization: Bearer <key>' or 'x-api-key: <key>'"
            )
        return ROOT


def _key_of(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key")
