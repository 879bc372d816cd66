"""What happens behind the writes, for one replica, in the thread that asks.

A host runs `flush` and `improve` in threads of their own, so that a long build keeps no segment
from being sealed; a program that embeds a shard may call `maintain` until it returns False. A crash
at any point leaves files that no manifest names; the next opening removes them.
"""

from akidb_ray.shard.merging import improve
from akidb_ray.shard.replica import Replica
from akidb_ray.shard.sealing import flush


def maintain(replica: Replica) -> bool:
    """Do one piece of work; return whether there was any."""
    return flush(replica) or improve(replica)
