"""What can be asked about or put on a list."""

from __future__ import annotations

from assistant.world.composer import Composer

DISHES = "pizza|sandwich|burger|curry|salad|pad thai|lasagna|biryani|dosa|meat pie".split("|")


def make_topics(composer: Composer) -> None:
    for name, weight in zip(DISHES, composer.zipf(len(DISHES)), strict=True):
        composer.add("dish", name, (), weight)
