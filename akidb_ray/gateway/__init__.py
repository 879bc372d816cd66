"""The border to Ray Serve: REST, authentication, the error table, and the deployments."""
