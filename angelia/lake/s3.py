"""The S3 store: boto3, conditional creates by `If-None-Match: *`, read-back where the answer is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from angelia.errors import AngeliaError, InvalidInput, NotFound


class S3Store:
    """A bucket and prefix. Source of the conditional write: Amazon S3 user guide, "Conditional writes" (412 = exists, 409 = retry)."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        import boto3
        from botocore.config import Config

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise InvalidInput(f"lake address {url!r} names no bucket", fix="write it as s3://bucket/prefix")
        self.url, self.bucket, self.prefix = url.rstrip("/"), bucket, prefix.strip("/")
        self.client: Any = boto3.client("s3", endpoint_url=endpoint, config=Config(retries={"mode": "standard", "total_max_attempts": 5}))

    def _key(self, key: str) -> str:
        if ".." in Path(key).parts or key.startswith("/"):
            raise InvalidInput(f"key {key!r} leaves the lake")
        return f"{self.prefix}/{key}" if self.prefix else key

    def create(self, key: str, data: bytes) -> bool:
        """See `Store.create`. 409 and unknown answers are settled by reading back and comparing."""
        from botocore.exceptions import BotoCoreError, ClientError

        for _ in range(5):
            try:
                self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data, IfNoneMatch="*")
                return True
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status == 412:
                    # A retry inside the client may have met its own first write: our own nonce inside means we won.
                    return self.read(key) == data
                if status != 409:
                    raise AngeliaError(f"S3 refused to create {key}: {error}") from None
            except BotoCoreError:
                if self.exists(key):
                    return self.read(key) == data
        raise AngeliaError(f"S3 did not settle the creation of {key} in five tries", fix="rerun the job")

    def put(self, key: str, data: bytes) -> None:
        """See `Store.put`."""
        self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)

    def put_file(self, key: str, path: Path) -> None:
        """See `Store.put_file`."""
        self.client.upload_file(str(path), self.bucket, self._key(key))
        path.unlink()

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        try:
            data: bytes = self.client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read()
        except self.client.exceptions.NoSuchKey:
            raise NotFound(f"no object {key} in {self.url}") from None
        return data

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        try:
            self.size(key)
        except NotFound:
            return False
        return True

    def size(self, key: str) -> int:
        """See `Store.size`."""
        from botocore.exceptions import ClientError

        try:
            return int(self.client.head_object(Bucket=self.bucket, Key=self._key(key))["ContentLength"])
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                raise NotFound(f"no object {key} in {self.url}") from None
            raise AngeliaError(f"S3 refused to look at {key}: {error}") from None

    def list(self, prefix: str) -> Iterator[str]:
        """See `Store.list`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._key(prefix.rstrip("/") + "/"))
        strip = len(self.prefix) + 1 if self.prefix else 0
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"][strip:]

    def children(self, prefix: str) -> Sequence[str]:
        """See `Store.children`."""
        base = self._key(prefix.rstrip("/") + "/") if prefix else (f"{self.prefix}/" if self.prefix else "")
        found: set[str] = set()
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base, Delimiter="/"):
            found |= {item["Prefix"][len(base) :].rstrip("/") for item in page.get("CommonPrefixes", [])}
            found |= {item["Key"][len(base) :] for item in page.get("Contents", [])}
        return sorted(found)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self.client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def uri(self, key: str) -> str:
        """See `Store.uri`."""
        return f"s3://{self.bucket}/{self._key(key)}"

    def local_path(self, key: str) -> Path | None:
        """See `Store.local_path`."""
        return None
