"""A shard's replica: one writer, many readers, and recovery. No Ray, no asyncio."""
