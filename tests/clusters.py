"""Clusters of `benchmarks.local_cluster`; the test is skipped where there can be none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from benchmarks import local_cluster
from benchmarks.local_cluster import ADDRESS, Cluster, inside, kill
from data.errors import NotInstalled

__all__ = ["ADDRESS", "Cluster", "cluster", "inside", "kill"]


@contextmanager
def cluster() -> Iterator[Cluster]:
    with ExitStack() as stack:
        try:
            nodes = stack.enter_context(local_cluster.cluster())
        except NotInstalled as error:
            pytest.skip(str(error))
        yield nodes
