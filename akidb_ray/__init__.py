"""AkiDB Ray: a multi-tenant vector database that runs inside a Ray cluster."""

__version__ = "0.1.0"
