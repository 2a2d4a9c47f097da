"""Unclear answers of S3: requests really arrive, and answers are altered on the way back."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import S3Transfer
from botocore import auth
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from angelia.errors import AngeliaError, NotFound
from angelia.lake import s3
from angelia.lake.s3 import S3Store
from angelia.lake.store import Unsettled

Answer = Callable[[], Any]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "CREATE_WAITS_S", (0.0,) * 5)
    monkeypatch.setattr(
        s3, "CONFIG", s3.CONFIG.merge(s3.Config(retries={"mode": "standard", "total_max_attempts": 1}))
    )


class Wire:
    """Replaces the answers to PUT requests, in order.

    The request itself still reaches the server where `arrives`.
    """

    def __init__(self, store: S3Store) -> None:
        self.store, self.script, self.puts, self._inside = store, list[tuple[bool, Answer | None]](), 0, False
        store.client.meta.events.register("before-send.s3.PutObject", self._put)

    def _put(self, request: Any, **_: Any) -> Any:
        self.puts += 1
        if not self.script:
            return None
        arrives, answer = self.script.pop(0)
        if arrives:
            self.store.client._endpoint.http_session.send(request)
        return answer() if answer else None


def status(code: int, name: str) -> Answer:
    body = f"<Error><Code>{name}</Code><Message>no</Message></Error>".encode() if name else b""

    class Raw:
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield body

    return lambda: AWSResponse("http://127.0.0.1/", code, {"Content-Type": "application/xml"}, Raw())


def broken() -> Any:
    raise ConnectionClosedError(endpoint_url="http://127.0.0.1/")


@pytest.fixture
def wire(s3_store: S3Store) -> Wire:
    return Wire(s3_store)


@pytest.mark.parametrize(
    ("arrives", "answer", "puts"),
    [
        pytest.param(True, status(412, "PreconditionFailed"), 1, id="412 that echoes our own write"),
        pytest.param(True, status(500, "InternalError"), 1, id="500 after the write"),
        pytest.param(True, broken, 1, id="connection broken after the write"),
        pytest.param(False, status(500, "InternalError"), 2, id="500 before the write"),
        pytest.param(False, status(503, "SlowDown"), 2, id="503"),
        pytest.param(False, status(409, "ConditionalRequestConflict"), 2, id="409"),
        pytest.param(False, broken, 2, id="connection broken before the write"),
    ],
)
def test_an_unclear_answer_is_settled_by_reading_back(
    wire: Wire, arrives: bool, answer: Answer, puts: int
) -> None:
    wire.script = [(arrives, answer)]
    assert wire.store.create("a/x", b"mine")
    assert wire.puts == puts
    assert wire.store.read("a/x") == b"mine"


@pytest.mark.parametrize(
    "answer", [status(500, "InternalError"), status(409, "ConditionalRequestConflict"), broken, None]
)
def test_somebody_else_s_object_is_a_loss_even_with_equal_bytes(wire: Wire, answer: Answer | None) -> None:
    assert wire.store.create("a/x", b"same")
    wire.script = [(False, answer)]
    assert not wire.store.create("a/x", b"same")


def test_no_clear_answer_ever_is_unsettled(wire: Wire) -> None:
    wire.script = [(False, status(500, "InternalError"))] * 9
    with pytest.raises(Unsettled, match="did not settle the creation of a/x"):
        wire.store.create("a/x", b"1")
    assert wire.puts == 5


def test_a_refusal_is_final_and_one_line(wire: Wire) -> None:
    wire.script = [(False, status(403, "AccessDenied"))]
    with pytest.raises(AngeliaError, match="403 AccessDenied") as caught:
        wire.store.create("a/x", b"1")
    assert not isinstance(caught.value, Unsettled)
    assert "grant" in caught.value.one_line()
    assert wire.puts == 1


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ("RequestTimeTooSkewed", "clock"),
        ("ExpiredToken", "expired"),
    ],
)
def test_wrong_keys_and_a_wrong_clock_name_the_fix(wire: Wire, code: str, fix: str) -> None:
    wire.script = [(False, status(403, code))]
    with pytest.raises(AngeliaError, match=f"403 {code}") as caught:
        wire.store.create("a/x", b"1")
    assert fix in caught.value.one_line()
    assert "\n" not in caught.value.one_line()


@pytest.mark.skipif(os.environ.get("S3_SERVER", "moto") == "moto", reason="moto checks no signature")
@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "clock"])
def test_a_server_that_checks_signatures_gets_its_fix(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    if wrong == "clock":
        ahead = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=2)
        monkeypatch.setattr(auth, "get_current_datetime", lambda remove_tzinfo=True: ahead)
    else:
        monkeypatch.setenv(wrong, "nobody")
    store = S3Store(s3_url, s3_endpoint)
    for ask in (lambda: store.create("a", b""), lambda: store.read("a"), lambda: store.children("a")):
        with pytest.raises(AngeliaError, match=r"answered 40[34] ") as caught:
            ask()
        assert wrong in caught.value.one_line()
        assert not isinstance(caught.value, NotFound)
    store.client.close()


def test_a_refusal_without_a_code_names_all_it_may_be(s3_store: S3Store) -> None:
    # As every answer to HEAD: it has no body.
    s3_store.client.meta.events.register("before-send.s3.HeadObject", lambda **_: status(403, "")())
    with pytest.raises(AngeliaError, match="answered 403 for a/x") as caught:
        s3_store.exists("a/x")
    assert all(word in caught.value.one_line() for word in ("keys", "rights", "clock"))


def test_missing_bucket_and_dead_endpoint_are_one_line(s3_url: str, s3_endpoint: str) -> None:
    missing = S3Store("s3://no-such-bucket-here", s3_endpoint)
    reads = (lambda: missing.read("a"), lambda: list(missing.list("")))
    writes = (lambda: missing.put("a", b""), lambda: missing.create("a", b""))
    # SeaweedFS makes the bucket that somebody writes to.
    for ask in reads if os.environ.get("S3_SERVER") == "seaweedfs" else (*reads, *writes):
        with pytest.raises(AngeliaError, match="NoSuchBucket") as caught:
            ask()
        assert "create the bucket, or correct ANGELIA_LAKE" in caught.value.one_line()
        assert not isinstance(caught.value, NotFound)
    dead = S3Store(s3_url, "http://127.0.0.1:9")
    with pytest.raises(AngeliaError, match="cannot be reached"):
        dead.read("a")
    with pytest.raises(Unsettled):
        dead.create("a", b"")
    missing.client.close()
    dead.client.close()


def test_no_credentials_is_one_line(
    s3_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    store = S3Store(s3_url, s3_endpoint)
    for ask in (lambda: store.create("a", b""), lambda: store.read("a")):
        with pytest.raises(AngeliaError, match="no S3 credentials"):
            ask()
    store.client.close()


def test_stores_of_one_workers_tasks_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_OF_WORKERS", {})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store = S3Store("s3://one/place", "http://127.0.0.1:9")
    first, second = (pickle.loads(pickle.dumps(store)) for _ in range(2))
    assert first.client is second.client is not store.client
    other = pickle.loads(pickle.dumps(S3Store("s3://one/place", "http://127.0.0.1:10")))
    assert other.client is not first.client


def test_uploads_that_nobody_finished_are_swept(s3_store: S3Store) -> None:
    s3_store.client.create_multipart_upload(Bucket=s3_store.bucket, Key=f"{s3_store.prefix}/a/x")
    assert s3_store.sweep(datetime(2000, 1, 1, tzinfo=UTC)) == 0  # moto gives every upload a date of 2010
    assert s3_store.sweep(datetime.now(UTC) + timedelta(days=1)) == 1
    assert s3_store.sweep(datetime.now(UTC) + timedelta(days=1)) == 0


@pytest.mark.parametrize(("size", "n_uploads"), [(99, 0), (100, 1)])
def test_a_file_below_a_part_is_one_put(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, n_uploads: int
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 100)
    uploads, upload = list[str](), S3Transfer.upload_file
    monkeypatch.setattr(
        S3Transfer, "upload_file", lambda *words: (uploads.append(words[3]), upload(*words))[1]
    )
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    wire.store.put_file("a/x", file)
    assert (len(uploads), wire.store.size("a/x"), file.exists()) == (n_uploads, size, False)
