"""The `akidb` command: a client of the REST API, and the server's start."""
