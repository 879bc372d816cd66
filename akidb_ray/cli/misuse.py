"""The error for what the user can mend in the command's own line or settings."""

from akidb_ray.domain.errors import InvalidArgument


class Misuse(InvalidArgument):
    """An option or a setting of the command is wrong, and nothing was asked of a server."""
