"""One lake per test on each store: a local folder, and S3.

The folder has a space in its path; S3 is a server over real HTTP: moto, or what S3_SERVER names.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from angelia.lake import Lake
from angelia.lake.lake import MAIN
from angelia.lake.opening import open_store
from angelia.lake.store import Store
from tests import s3_server


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server.chosen(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return an address in a bucket of the test's own."""
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": s3_server.KEY,
        "AWS_SECRET_ACCESS_KEY": s3_server.KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ANGELIA_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    bucket = f"lake-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=bucket)
    client.close()
    return f"s3://{bucket}/some/prefix"


@pytest.fixture
def s3_store(s3_url: str, s3_endpoint: str) -> Iterator[Store]:
    store = open_store(s3_url, s3_endpoint)
    yield store
    store.client.close()  # type: ignore[attr-defined]


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return an empty store of each kind."""
    if request.param == "s3":
        s3: Store = request.getfixturevalue("s3_store")
        return s3
    return open_store(str(tmp_path / "la ke"))


@pytest.fixture
def any_lake(store: Store) -> Lake:
    """Return an empty lake on each kind of store, branch main."""
    return Lake(store, MAIN)
