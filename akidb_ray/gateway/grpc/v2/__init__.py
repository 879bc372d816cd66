"""Messages and stubs of `akidb.proto`, made by `python -m akidb_ray.gateway.grpc.generating`."""
