"""A node that is lost at the worst moment, which no real cluster can be brought to at will.

What a real one does is in tests/classifiers/test_cluster.py; here Ray's part is played, so that it
is known what runs where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from data.cluster import _Actors
from data.errors import ClusterError, WorkerLost


class _RayError(Exception):
    pass


class _Other(_RayError):
    pass


@dataclass(eq=False)
class _Promise:
    actor: int
    what: Callable[[], Any]


@dataclass
class _Ray:
    """Actors by number; `dies` says which are dead when the answer to a promise is asked for."""

    dies: Callable[[_Ray, _Promise], bool]
    started: int = 0
    killed: int = 0
    dead: set[int] = field(default_factory=set)
    exceptions = SimpleNamespace(
        RayError=_RayError, RayTaskError=_Other, RaySystemError=_Other, RpcError=_Other
    )

    def remote(self, **_: Any) -> Callable[[type], Any]:
        def remote() -> Any:
            self.started += 1
            number = self.started

            def starts(*_: Any) -> _Promise:
                return _Promise(number, lambda: None)

            def runs(function: Callable[..., Any], arguments: tuple[Any, ...]) -> _Promise:
                return _Promise(number, lambda: function(*arguments))

            return SimpleNamespace(
                problem=SimpleNamespace(remote=starts), run=SimpleNamespace(remote=runs)
            )

        return lambda kind: SimpleNamespace(remote=remote)

    def wait(
        self, promises: list[_Promise], num_returns: int, timeout: float
    ) -> tuple[list[_Promise], list[_Promise]]:
        # The first task is the last one to end.
        return [promises[-1]], promises[:-1]

    def get(self, promise: _Promise) -> Any:
        if promise.actor in self.dead or self.dies(self, promise):
            raise _RayError("The actor died.")
        return promise.what()

    def kill(self, actor: Any, no_restart: bool) -> None:
        self.killed += 1


def _mapped(ray: _Ray, tasks: int = 6) -> list[int]:
    actors = _Actors(ray, 4, (), lambda what: None)
    try:
        return list(actors.map(lambda n: n * n, iter([(n,) for n in range(tasks)])))
    finally:
        actors.stop()


def test_a_node_lost_with_idle_actors_costs_the_last_task_one_process() -> None:
    def dies(ray: _Ray, promise: _Promise) -> bool:
        ended.append(promise.actor)
        # Four starts and five tasks: one runs still, and three actors wait.
        if len(ended) == 10:
            ray.dead = {1, 2, 3, 4}
        return promise.actor in ray.dead

    ended: list[int] = []
    ray = _Ray(dies)
    assert _mapped(ray) == [0, 1, 4, 9, 16, 25]
    assert ray.dead
    assert ray.started == 5
    # None is left behind.
    assert ray.killed == 5


def test_a_node_lost_while_actors_start_on_it_counts_once() -> None:
    ray = _Ray(lambda ray, promise: False, dead={1, 2, 3, 4})
    assert _mapped(ray) == [0, 1, 4, 9, 16, 25]
    assert ray.started == 8


def test_what_fails_again_and_again_comes_to_an_end() -> None:
    with pytest.raises(ClusterError, match="end before they begin to work"):
        _mapped(_Ray(lambda ray, promise: True))
    killer = _Ray(lambda ray, promise: promise.what() == 0)
    with pytest.raises(WorkerLost, match="3 processes"):
        _mapped(killer)
