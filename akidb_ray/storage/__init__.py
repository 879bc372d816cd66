"""Bytes on disk: the file system port, the write-ahead log, manifests. Knows no vectors."""
