"""The gRPC data plane: messages, the servicer, and the server that runs in a gateway replica."""
