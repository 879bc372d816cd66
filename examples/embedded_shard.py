"""A durable shard inside your own program: no server, no Ray.

    python examples/embedded_shard.py [FOLDER]

Writes three documents, finds the nearest one, and the best one by vector and text together, and
seals them; run it again, and they are there.
"""

import sys
from pathlib import Path

import numpy as np

from akidb_ray.domain.collection import CollectionSpec
from akidb_ray.domain.document import DocumentBatch
from akidb_ray.domain.filter import RowFilter
from akidb_ray.domain.filter_parsing import parse_filter
from akidb_ray.domain.ids import CollectionId, TenantId
from akidb_ray.domain.placement import ShardKey
from akidb_ray.domain.query import HybridQuery, VectorQuery
from akidb_ray.domain.write import ShardUpsert
from akidb_ray.shard.maintenance import maintain
from akidb_ray.shard.policy import ShardPolicy
from akidb_ray.shard.recovery import create_replica, open_replica
from akidb_ray.storage.os_filesystem import OsFileSystem

fs = OsFileSystem(Path(sys.argv[1] if len(sys.argv) > 1 else "embedded-shard"))
create_replica(fs, CollectionSpec(dimension=16), {"collection": "colours"})
replica = open_replica(fs, ShardPolicy())
print(f"documents found: {replica.view().documents}")

batch = DocumentBatch(
    ids=["red", "green", "blue"],
    vectors=np.eye(3, 16, dtype=np.float32),
    texts=["roses and fire", "grass and leaves", "the sea and the sky"],
    payloads=[b'{"warm": true}', b'{"warm": false}', b'{"warm": false}'],
)
shard = ShardKey(TenantId.new(), CollectionId.new(), 0)
replica.write(ShardUpsert(shard, batch, RowFilter()))

cold = parse_filter({"must": [{"key": "warm", "match": {"value": False}}]})
query = VectorQuery(np.array([0.9, 0.8] + [0.0] * 14, np.float32), limit=1, filter=cold)
for hit in replica.view().search(query, RowFilter()):
    print(f"nearest cold colour: {hit.id} ({hit.score:.2f})")
for hit in replica.view().search(HybridQuery(query.vector, "green grass", limit=1), RowFilter()):
    print(f"best by vector and text: {hit.id}")

while maintain(replica):
    pass
replica.close()
