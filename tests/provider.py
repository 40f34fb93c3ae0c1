"""A local OpenID Connect provider, in a process of its own: a library's, with people of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.browser import free_port


@contextmanager
def provider(people: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Serve it; yields the address of its metadata.

    Its page asks who one is, with a button for each of `people`: their claims, "sub" among them,
    which the button shows.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}/.well-known/openid-configuration"
    claims = [word for person in people for word in ("--user-claims", json.dumps(person))]
    server = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *claims],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(address, timeout=2):
                    break
            except OSError:
                assert server.poll() is None, "the provider ended"
                assert time.monotonic() < until, "the provider did not start"
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(20)
