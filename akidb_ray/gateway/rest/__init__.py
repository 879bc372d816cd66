"""The REST API: routes that parse, ask a use case, and render its answer."""
