"""Requests to an object store, by obstore: S3, Google Cloud Storage and Azure by the same calls.

Credentials and endpoints come from the environment (AWS_…, GOOGLE_…, AZURE_…), as the providers'
own tools read them. Every error is one sentence.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from data.errors import NotInstalled, ObjectStoreError, UsageError

# Requests at the same time, which share the line; most of a small one is waiting.
THREADS = 8
_CONNECT = timedelta(seconds=4)
_RETRIES = 4
# obstore counts a request from its start to its last byte, and begins none again after the second
# time. HEAD.json is small, and asked for first: so a person hears within 20 s of a server that does
# not answer.
_TIMEOUT, _RETRY_FOR = timedelta(seconds=6), timedelta(seconds=11)
# Other objects come and go in pieces, of which `THREADS` times `_PIECES` share the line: 0.5 MB/s
# will do.
_BODY_TIMEOUT, _BODY_RETRY_FOR = timedelta(minutes=5), timedelta(minutes=11)
_PIECE, _PIECES = 5 << 20, 4
# How often a probe whose answers are lost is begun.
_PROBES = 3
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_SERVER = {
    "s3": "AWS_ENDPOINT_URL, AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ENDPOINT",
}
_ENDPOINT = re.compile(r"https?://[\w.:\[\]/-]+", re.ASCII | re.IGNORECASE)
T = TypeVar("T")


class Moved(Exception):
    """The object is not what a conditional put expected: another has written it."""


class NoObject(Exception):
    """There is no such object."""


class Unanswered(ObjectStoreError):
    """No answer came, so that it is not known whether what was asked has been done."""


@dataclass(frozen=True)
class Tag:
    """By what a later put asks that an object is still this one: S3 and Azure look at the first,
    Google Cloud Storage at the second, its generation."""

    e_tag: str
    version: str | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Tag:
        """That in what obstore says of an object."""
        version = answer.get("version")
        return cls(str(answer["e_tag"]), None if version is None else str(version))

    def encode(self) -> bytes:
        """One line, for `decode`."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, text: bytes) -> Tag:
        """Raises ValueError for another text."""
        content = json.loads(text)
        if not isinstance(content, dict) or content.keys() != {"e_tag", "version"}:
            raise ValueError(text)
        return cls(**content)


@dataclass(frozen=True)
class Found:
    """An object: its bytes, and its tag."""

    content: bytes
    tag: Tag


class Objects:
    """The objects below one address."""

    def __init__(self, address: str) -> None:
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as error:
            raise NotInstalled(
                "Stores in an object store need the package obstore; install it with: "
                "pip install 'faultline-voice[object-store]'"
            ) from error
        self.address = address
        self._obstore: Any = obstore
        self._errors: tuple[type[BaseException], ...] = (BaseError, OSError, ValueError)
        self._kind = address.split("://")[0]
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        if endpoint and not _ENDPOINT.fullmatch(endpoint):
            raise UsageError(
                f"AWS_ENDPOINT_URL is '{endpoint[:80]}'; give the address of a server, such as "
                "http://127.0.0.1:9000."
            )
        client: Any = {"connect_timeout": _CONNECT}
        if self._kind == "s3" and endpoint.startswith("http://"):
            client["allow_http"] = True

        def made(timeout: timedelta, retry_for: timedelta) -> Any:
            retry: Any = {"max_retries": _RETRIES, "retry_timeout": retry_for}
            options: Any = {**client, "timeout": timeout}
            return from_url(address, client_options=options, retry_config=retry)

        try:
            self._store = made(_TIMEOUT, _RETRY_FOR)
            self._bodies = made(_BODY_TIMEOUT, _BODY_RETRY_FOR)
        except self._errors as error:
            raise self._sentence(error) from error

    def get(self, key: str, tag: Tag | None = None) -> Found | None:
        """A small object; None if it still has the `tag`. Raises `NoObject` if there is none."""
        options = {"if_none_match": tag.e_tag} if tag else None
        try:
            answer = self._obstore.get(self._store, key, options=options)
            return Found(bytes(answer.bytes()), Tag.of(answer.meta))
        except self._obstore.exceptions.NotModifiedError:
            return None
        except self._errors as error:
            raise self._error(error) from error

    def fetch(self, key: str, to: Path, size: int = 0) -> None:
        """Write an object, which may be large, into the new file `to`.

        `size`: its bytes, if they are known. Raises `NoObject` if there is none.
        """
        try:
            with to.open("xb") as file:
                if size <= _PIECE:
                    file.write(self._obstore.get(self._bodies, key).bytes())
                    return
                for start in range(0, size, _PIECE):
                    end = min(start + _PIECE, size)
                    file.write(self._obstore.get_range(self._bodies, key, start=start, end=end))
        except self._errors as error:
            raise self._error(error) from error

    def put(self, key: str, content: bytes | Path) -> None:
        """Write an object, whatever is there."""
        try:
            self._obstore.put(
                self._bodies, key, content, chunk_size=_PIECE, max_concurrency=_PIECES
            )
        except self._errors as error:
            raise self._error(error) from error

    def put_if(self, key: str, content: bytes, tag: Tag | None) -> Tag:
        """Write a small object if it still has the `tag`, or, without one, if there is none.

        Returns its new tag. Raises `Moved` if it is another, `Unanswered` if nobody knows whether
        it was written.
        """
        mode: Any = "create"
        if tag:
            mode = {name: value for name, value in asdict(tag).items() if value is not None}
        errors = self._obstore.exceptions
        try:
            return Tag.of(self._obstore.put(self._store, key, content, mode=mode))
        except (errors.AlreadyExistsError, errors.PreconditionError) as error:
            raise Moved(key) from error
        except self._errors as error:
            if tag and isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                raise Moved(key) from error
            raise self._error(error) from error

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """All objects below `prefix`, with their sizes."""
        try:
            listing = self._obstore.list(self._store, prefix or None)
            return {meta["path"]: int(meta["size"]) for chunk in listing for meta in chunk}
        except self._errors as error:
            raise self._error(error) from error

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error."""

        def remove(key: str) -> None:
            try:
                self._obstore.delete(self._store, key)
            except FileNotFoundError:
                return
            except self._errors as error:
                raise self._error(error) from error

        self.each(remove, list(keys))

    def each(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """Do `work` for every item, several at a time; raises what the first failure raises."""
        todo = list(items)
        if len(todo) == 1:
            work(todo[0])
        elif todo:
            with ThreadPoolExecutor(min(THREADS, len(todo))) as pool:
                waiting = [pool.submit(work, item) for item in todo]
                try:
                    for one in waiting:
                        one.result()
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise

    def must_compare(self) -> None:
        """Raise `ObjectStoreError` if puts are not conditional here; two writers would then undo
        each other's work."""
        for _ in range(_PROBES):
            # Told of the first or third put, which nobody else can be in the way of: its answer was
            # lost, and asked again, the server found it done.
            with suppress(Moved):
                self._probe()
                return
        raise Unanswered(
            f"{self.address} does not answer reliably, so that it is not known whether it keeps "
            "conditions on puts; check the network, and run it again."
        )

    def _probe(self) -> None:
        key = f"probe/{uuid.uuid4().hex}"
        try:
            tag = self.put_if(key, b"1", None)
            with suppress(Moved):
                self.put_if(key, b"2", None)
                raise self._not_conditional()
            changed = self.put_if(key, b"3", tag)
            with suppress(Moved):
                self.put_if(key, b"4", tag)
                raise self._not_conditional()
            found = self.get(key)
            if found is None or found.content != b"3" or changed == tag:
                raise self._not_conditional()
        finally:
            with suppress(ObjectStoreError):
                self.delete([key])

    def _not_conditional(self) -> ObjectStoreError:
        return ObjectStoreError(
            f"The server of {self.address} ignores conditions on puts (If-Match, If-None-Match), "
            "so that two writers would undo each other's work; use one that supports them, or a "
            "local folder."
        )

    def _error(self, error: BaseException) -> Exception:
        if isinstance(error, FileNotFoundError) and not any(
            word in str(error) for word in ("NoSuchBucket", "ContainerNotFound", "bucket does not")
        ):
            return NoObject(str(error))
        if isinstance(error, OSError) and error.errno is not None:
            # Of the disk.
            return error
        return self._sentence(error)

    def _sentence(self, error: BaseException) -> ObjectStoreError:
        text, errors = str(error), self._obstore.exceptions
        lower = text.lower()
        where = self.address.split("/")[2]
        variables = _KEYS[self._kind]
        if isinstance(error, FileNotFoundError):
            return ObjectStoreError(
                f"There is no bucket '{where}' for {self.address}; create it, or give another "
                "address."
            )
        refused = isinstance(error, (errors.PermissionDeniedError, errors.UnauthenticatedError))
        if refused or "status code: 403" in text or "status code: 401" in text:
            return ObjectStoreError(
                f"The object store refuses access to {self.address}; check {variables}, and what "
                "they allow."
            )
        if (
            isinstance(error, (errors.NotSupportedError, NotImplementedError))
            or "status code: 501" in text
        ):
            return self._not_conditional()
        if "169.254" in text or "credential" in lower or "metadata.google" in lower:
            return ObjectStoreError(
                f"There are no credentials for {self.address}; set {variables}."
            )
        if isinstance(error, (errors.UnknownConfigurationKeyError, ValueError)) or "parse" in lower:
            return ObjectStoreError(
                f"The settings for {self.address} are wrong ({_reason(text)}); check {variables}."
            )
        return Unanswered(
            f"{self.address} cannot be reached ({_reason(text)}); check the network and the "
            f"settings of the server ({_SERVER[self._kind]}), and run it again."
        )


def _reason(text: str) -> str:
    """The cause at the end of a chain that obstore tells, in one line."""
    causes: Mapping[str, str] = {
        "connection refused": "connection refused",
        "dns error": "unknown host",
        "timed out": "no answer in time",
        "timeout": "no answer in time",
        "certificate": "its certificate is not trusted",
        "connection closed": "the connection broke",
        "connection reset": "the connection broke",
        "error sending request": "no connection",
        "status code: 500": "the server failed",
        "status code: 503": "the server is busy",
    }
    lower = text.lower()
    found = next((what for sign, what in causes.items() if sign in lower), None)
    return found or text.splitlines()[0][:120].rstrip(".")
