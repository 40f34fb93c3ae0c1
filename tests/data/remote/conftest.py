"""The S3 server of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.s3_server import S3, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server
