"""The version of this package, also told to servers."""

__version__ = "0.1.0"
