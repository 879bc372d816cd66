"""`akidb stop`: ends what `serve deploy` started, on a Ray that runs on."""

import logging

from akidb_ray.domain.errors import Unavailable


def stop(address: str) -> None:
    """End the application, then the catalog and the shard hosts. Raises Unavailable."""
    # Slow to import.
    import ray

    from akidb_ray import bootstrap

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise Unavailable(f"no Ray cluster answers at {address}: {error}") from None
    try:
        # Whether Serve goes too is for those to say who started it: `serve shutdown`.
        bootstrap.stop(own_ray=False, serve_ran_before=True)
    finally:
        ray.shutdown()
    print("Stopped. The Ray cluster runs on.", flush=True)
