"""Bringing the tenants of AkiDB 1.x, JSON files in a folder, into a catalog."""
