"""Segments: batches of documents with their indexes, growing in memory or sealed on disk."""
