"""Arize Phoenix, on 127.0.0.1 alone: by itself its gRPC server listens on every address.

Run with Phoenix's own Python; settings come from its environment variables.
"""

import sys

from grpc.aio import _server
from phoenix.server.main import main

_add = _server.Server.add_insecure_port


def _on_loopback(self, address):
    return _add(self, address.replace("[::]", "127.0.0.1"))


_server.Server.add_insecure_port = _on_loopback
sys.argv = ["phoenix", "serve"]
main()
