"""The short paths of AkiDB 1.x: the tenant comes from the credential, the database is `default`.

They are other names of the paths of the second API, not routes of their own.
"""

from akidb_ray.access.authorization import Principal
from akidb_ray.domain.tenancy import DEFAULT_NAME

_PREFIXES = ("/v1/collections", "/collections")


def full_form(method: str, path: str, principal: Principal) -> tuple[str, str]:
    """The method and path that a request means. A root administrator acts for tenant `default`."""
    for prefix in _PREFIXES:
        if path == prefix or path.startswith(f"{prefix}/"):
            rest = path.removeprefix(prefix)
            tenant = DEFAULT_NAME if principal.tenant_id is None else str(principal.tenant_id)
            # 1.x changed a collection by PUT.
            changes_collection = method == "PUT" and rest.count("/") == 1
            return (
                "PATCH" if changes_collection else method,
                f"/v2/tenants/{tenant}/databases/{DEFAULT_NAME}/collections{rest}",
            )
    return method, path
