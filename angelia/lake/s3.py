"""The S3 store: botocore with conditional creates by `If-None-Match: *`.

Where the answer is unknown, the writer reads back its nonce. Source: Amazon S3 User Guide, "Add preconditions
to S3 operations with conditional requests" (412 = exists, 409 = conflict, retry). Credentials and region come
from the usual AWS chain (environment, profile, role); none of them is logged or kept.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.session import get_session

from angelia.errors import AngeliaError, InvalidInput, NotFound
from angelia.lake.failpoint import failpoint
from angelia.lake.store import StoredObject, Unsettled, check_key

# Seconds before each try of a conditional create; inside each, botocore retries by itself.
CREATE_WAITS_S = (0.0, 0.2, 0.4, 0.8, 1.6)
CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
)
DELETE_BATCH = 1000  # the most that DeleteObjects takes
# Below it boto3 sends a file whole, too, but sets up threads first: 4 ms of processor a file instead of 2.
PART_BYTES = 8 * 2**20

# HEAD has but the status. Another 404 is about something else: no such bucket, or (versitygw) no such user.
ABSENT = ("NoSuchKey", "NotFound", "404")

_KEYS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile's keys"
_FIXES = {
    "NoSuchBucket": "create the bucket, or correct ANGELIA_LAKE",
    "AccessDenied": "grant list, get, put and delete on it",
    "InvalidAccessKeyId": _KEYS,
    "XAdminUserNotFound": _KEYS,  # versitygw
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": "get new credentials; the session's have expired",
    "RequestTimeTooSkewed": "set this machine's clock (NTP); S3 refuses what is over 15 minutes off",
    # The answer to HEAD has no body, and so no code but this.
    "403": "check the keys, their rights on the bucket, and this machine's clock",
}


# Clients of the stores that Spark workers were sent, by process and endpoint. Each task brings a store of its
# own; a client of its own would cost it .1 s of processor, and a new connection.
_OF_WORKERS: dict[tuple[int, str | None], Any] = {}


class S3Store:
    """A bucket and prefix.

    May be pickled to Spark workers: each process makes one client, on first use, for all that it was sent.
    """

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise InvalidInput(f"lake address {url!r} names no bucket", fix="write it as s3://bucket/prefix")
        self.bucket, self.prefix, self.endpoint = bucket, prefix.strip("/"), endpoint
        if self.prefix:
            check_key(self.prefix)
        self.url = f"s3://{bucket}/{self.prefix}".rstrip("/")
        self._client: Any = None
        self._is_copy = False
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "endpoint": self.endpoint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["url"], state["endpoint"])  # type: ignore[misc]
        self._is_copy = True

    @property
    def client(self) -> Any:
        """The botocore client of this process (thread-safe once made)."""
        with self._lock:
            if self._client is None and self._is_copy:
                place = os.getpid(), self.endpoint
                self._client = _OF_WORKERS.get(place) or _OF_WORKERS.setdefault(place, self._connect())
            elif self._client is None:
                self._client = self._connect()
        return self._client

    def _connect(self) -> Any:
        try:
            # Without boto3, which takes as long again to load and adds nothing here but uploads in parts.
            return get_session().create_client("s3", endpoint_url=self.endpoint, config=CONFIG)
        except (BotoCoreError, ValueError) as error:
            raise InvalidInput(
                f"cannot set up S3 for {self.url}: {error}",
                fix="check ANGELIA_S3_ENDPOINT and the AWS settings",
            ) from None

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{check_key(key)}" if self.prefix else check_key(key)

    def _folder(self, prefix: str) -> str:
        parts = [part for part in (self.prefix, check_key(prefix) if prefix else "") if part]
        return "/".join(parts) + "/" if parts else ""

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if _code(error) in ABSENT:
                raise NotFound(f"no object {what} in {self.url}") from None
            raise self._refusal(what, error) from None
        except BotoCoreError as error:
            raise self._refusal(what, error) from None

    def _refusal(self, what: str, error: Exception) -> AngeliaError:
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return AngeliaError(
                f"no S3 credentials for {self.url}",
                fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role",
            )
        if isinstance(error, ClientError):
            code = "" if _code(error) == str(_status(error)) else f" {_code(error)}"
            return AngeliaError(
                f"S3 answered {_status(error)}{code} for {what} in {self.url}",
                fix=_FIXES.get(_code(error)),
            )
        return AngeliaError(
            f"S3 cannot be reached for {what} in {self.url}: {error}",
            fix="check ANGELIA_S3_ENDPOINT and the network",
        )

    def create(self, key: str, data: bytes) -> bool:
        """See `Store.create`.

        Every call writes its own nonce into the object's metadata, and reads it back unless S3 answered 200.
        """
        full, nonce = self._key(key), secrets.token_hex(16)
        problem: Exception | None = None
        failpoint("create.before_link")
        for wait_s in CREATE_WAITS_S:
            time.sleep(wait_s)
            try:
                self.client.put_object(
                    Bucket=self.bucket, Key=full, Body=data, IfNoneMatch="*", Metadata={"nonce": nonce}
                )
            except (NoCredentialsError, PartialCredentialsError, ParamValidationError) as error:
                raise self._refusal(key, error) from None  # nothing was sent
            except ClientError as error:
                problem = error
                if _status(error) not in (409, 412) and _status(error) < 500:
                    raise self._refusal(key, error) from None
            except BotoCoreError as error:
                problem = error
            else:
                failpoint("create.after_link")
                return True
            # "Exists" may be the echo of our own write (botocore repeats requests), 5xx and broken
            # connections may hide a success.
            standing = self._nonce(full)
            if standing is not None:
                return standing == nonce
        raise Unsettled(
            f"S3 did not settle the creation of {key} in {self.url}: {problem}",
            fix="rerun: that finds out what stands",
        )

    def _nonce(self, full: str) -> str | None:
        """Return the standing object's nonce: "" if it has none, None without object or answer."""
        try:
            answer = self.client.head_object(Bucket=self.bucket, Key=full)
        except (ClientError, BotoCoreError):
            return None
        return str(answer.get("Metadata", {}).get("nonce", ""))

    def put(self, key: str, data: bytes) -> None:
        """See `Store.put`."""
        with self._asking(key):
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)

    def put_file(self, key: str, path: Path) -> None:
        """See `Store.put_file`."""
        if path.stat().st_size < PART_BYTES:
            self.put(key, path.read_bytes())
            path.unlink()
            return
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import S3Transfer

        with self._asking(key):
            try:
                S3Transfer(self.client).upload_file(str(path), self.bucket, self._key(key))
            except S3UploadFailedError as error:
                raise AngeliaError(
                    f"upload of {key} to {self.url} failed: {error.__cause__ or error}", fix="rerun"
                ) from None
        path.unlink()

    def sync(self, keys: Iterable[str]) -> None:
        """See `Store.sync`: an object that was answered 200 is durable."""

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        full = self._key(key)
        with self._asking(key):
            data: bytes = self.client.get_object(Bucket=self.bucket, Key=full)["Body"].read()
        return data

    def tail(self, key: str, n: int) -> tuple[int, bytes]:
        """See `Store.tail`."""
        full = self._key(key)
        with self._asking(key):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=full, Range=f"bytes=-{n}")
            except ClientError as error:
                if _status(error) == 416:  # an empty object has no last byte
                    return 0, b""
                raise
            data: bytes = answer["Body"].read()
        return int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else len(data), data

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        try:
            self.size(key)
        except NotFound:
            return False
        return True

    def size(self, key: str) -> int:
        """See `Store.size`."""
        full = self._key(key)
        with self._asking(key):
            return int(self.client.head_object(Bucket=self.bucket, Key=full)["ContentLength"])

    def list(self, prefix: str, since: str = "") -> Iterator[str]:
        """See `Store.list`."""
        # SeaweedFS leaves out the whole folder that StartAfter names, so the name before it is asked for.
        return (item.key for item in self.stored(prefix, since[:-1]))

    def stored(self, prefix: str, after: str = "") -> Iterator[StoredObject]:
        """See `Store.stored`."""
        folder, strip = self._folder(prefix), len(self._folder(""))
        begin = {"StartAfter": folder + after} if after else {}
        with self._asking(prefix or "the lake"):
            for page in self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=folder, **begin
            ):
                for item in page.get("Contents", []):
                    yield StoredObject(item["Key"][strip:], item["Size"], item["LastModified"])

    def children(self, prefix: str) -> Sequence[str]:
        """See `Store.children`."""
        folder = self._folder(prefix)
        names: set[str] = set()
        with self._asking(prefix or "the lake"):
            for page in self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=folder, Delimiter="/"
            ):
                names |= {
                    item["Prefix"][len(folder) :].rstrip("/") for item in page.get("CommonPrefixes", [])
                }
                names |= {item["Key"][len(folder) :] for item in page.get("Contents", [])}
        return sorted(names)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        full = self._key(key)
        with self._asking(key):
            self.client.delete_object(Bucket=self.bucket, Key=full)

    def delete_folder(self, prefix: str) -> None:
        """See `Store.delete_folder`."""
        keys = [self._key(key) for key in self.list(prefix)]
        for start in range(0, len(keys), DELETE_BATCH):
            batch = [{"Key": key} for key in keys[start : start + DELETE_BATCH]]
            with self._asking(prefix):
                answer = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True}
                )
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise AngeliaError(
                    f"S3 did not delete {len(answer['Errors'])} objects below {prefix} in "
                    f"{self.url}: {first.get('Code')}"
                )

    def sweep(self, before: datetime) -> int:
        """See `Store.sweep`: abort the multipart uploads of crashed writers.

        They cost money and appear in no listing.
        """
        n = 0
        with self._asking("uploads"):
            for page in self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self._folder("")
            ):
                for upload in page.get("Uploads", []):
                    if upload["Initiated"] < before:
                        self.client.abort_multipart_upload(
                            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        n += 1
        return n

    def uri(self, key: str) -> str:
        """See `Store.uri`."""
        return f"s3://{self.bucket}/{self._key(key)}"

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`."""
        check_key(key)
        return None


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
