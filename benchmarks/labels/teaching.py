"""What teaching is worth, and how well its dialogue understands.

    python -m benchmarks.labels.teaching [--turns N] [--seed N] [--homes N]

Effect: the reference assistant is simulated with users who teach and without, the same users who
want the same things; defects are counted by the simulator's own truth. Dialogue: the share of the
turns of teaching dialogues after which the dialogue does what its user expects, with scripts, with
simulated users who type, and with simulated users who speak.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from assistant.demo import Setup, simulate
from assistant.language.goals import draw_goal
from assistant.language.wording import say
from assistant.lesson_turns import DOMAIN
from assistant.simulate import Simulated
from assistant.teachable import TAUGHT
from assistant.teachers import Said, Teacher, as_expected, same, without_fillers
from assistant.world import build_world
from benchmarks.rewrites.assistant import Paired, paired
from labels.feedback.quality import interval
from labels.teaching.dialogue import IDLE, Reply, hear, offer
from labels.teaching.phrases import parse, phrase_key

SHARES = (0.3, 0.7, 1.0)
# The published turn-level accuracy of an interactive teaching dialogue, on its own data.
PUBLISHED = 0.9122
# Dialogues as people have them: what is said, what should come of it, and the value then.
SCRIPTS: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (("When I say cosy, dim the lights to 30", "asked", "dim the lights to 30"),
     ("yes", "stored", "dim the lights to 30")),
    (("when I say cosy dim the lights to 30", "asked", "dim the lights to 30"),
     ("no, 40", "asked", "dim the lights to 40"),
     ("that's right", "stored", "dim the lights to 40")),
    (("if I say movie night I want you to turn off the lamp", "asked", "turn off the lamp"),
     ("no", "asked", ""), ("turn off all lamps", "asked", "turn off all lamps"),
     ("yep", "stored", "turn off all lamps")),
    (("I'm a Warriors fan", "asked", "warriors"), ("yes I am", "stored", "warriors")),
    (("I support Arsenal", "asked", "arsenal"), ("right", "stored", "arsenal")),
    (("my favourite station is jazz fm", "asked", "jazz fm"), ("sure", "stored", "jazz fm")),
    (("my favorite color is blue", "asked", "blue"), ("actually green", "asked", "green"),
     ("yes", "stored", "green")),
    (("call me Bob", "asked", "bob"), ("no I said Rob", "asked", "rob"), ("yes", "stored", "rob")),
    (("remember that my dog's name is Rex", "asked", "rex"), ("yeah", "stored", "rex")),
    (("from now on call me captain", "asked", "captain"), ("ok", "stored", "captain")),
    (("learn my preferences", "asked", ""),
     ("my favourite team is the bears", "asked", "the bears"),
     ("correct", "stored", "the bears")),
    (("let me teach you something", "asked", ""),
     ("when I say chill put on some jazz", "asked", "put on some jazz"),
     ("exactly", "stored", "put on some jazz")),
    (("I want to teach you what bedtime means", "asked", ""),
     ("lock the doors and turn off the lights", "asked", "lock the doors and turn off the lights"),
     ("yes please", "stored", "lock the doors and turn off the lights")),
    (("when I say cosy dim the lights", "asked", "dim the lights"),
     ("never mind", "cancelled", "")),
    (("learn what I like", "asked", ""), ("no thanks", "cancelled", "")),
    (("forget cosy", "asked", ""), ("yes", "forgot", "")),
    (("forget about my commute", "asked", ""), ("no, keep it", "cancelled", "")),
    (("what did I teach you", "listed", ""),),
    (("play some music", "nothing", ""),),
    (("set an alarm for seven", "nothing", ""),),
    (("call me a taxi", "nothing", ""),),
    (("remember to buy milk", "nothing", ""),),
    (("what does cosy mean", "nothing", ""),),
    (("I prefer celsius for temperature", "asked", "celsius"), ("yes", "stored", "celsius")),
    (("could you remember that I take my coffee black", "asked", "i take my coffee black"),
     ("yes", "stored", "i take my coffee black")),
    (("whenever I say I'm home turn on the hall light", "asked", "turn on the hall light"),
     ("hm", "asked", "turn on the hall light"), ("yes", "stored", "turn on the hall light")),
    (("wenn ich gemütlich sage dann mach das licht aus", "asked", "mach das licht aus"),
     ("ja", "stored", "mach das licht aus")),
    (("cuando digo cine apaga la luz", "asked", "apaga la luz"), ("sí", "stored", "apaga la luz")),
    (("当我说舒适的时候就把灯关掉", "asked", "把灯关掉"), ("是的", "stored", "把灯关掉")),
    (("मेरा पसंदीदा रंग नीला है", "asked", "नीला"), ("हाँ", "stored", "नीला")),
    (("by the usual I mean order a large latte", "asked", "order a large latte"),
     ("it should be a small latte", "asked", "a small latte"), ("yes", "stored", "a small latte")),
    (("I'm vegetarian, remember that", "asked", ""), ("yes", "stored", "")),
    (("my mum's number is five five five two", "nothing", ""),),
)  # fmt: skip
_START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def scripted() -> pd.DataFrame:
    """One row per turn of `SCRIPTS`: dialogue, right."""
    rows = []
    for number, script in enumerate(SCRIPTS):
        state = IDLE
        for turn, (words, did, value) in enumerate(script):
            state, reply = hear(state, words, _START + timedelta(seconds=5 * turn))
            said = Said(words, did, value)  # type: ignore[arg-type]  # a script says str
            rows.append((number, as_expected(said, state, reply)))
    return pd.DataFrame(rows, columns=["dialogue", "right"])


def typed(dialogues: int, seed: int) -> pd.DataFrame:
    """Simulated users who teach requests in other words, heard as they are: dialogue, right."""
    world = build_world(seed, 60)
    rng = np.random.default_rng([seed, 47])
    rows: list[tuple[int, bool]] = []
    number = 0
    while number < dialogues:
        home = world.homes[int(rng.random() * len(world.homes))]
        user = home.users[0]
        goal = draw_goal(rng, world, home, user, home.devices[0], _START)
        phrase = phrase_key(without_fillers(say(goal, user, rng, "plain").text))
        meaning = without_fillers(say(goal, user, rng, "explicit").text)
        if same(phrase, meaning) or parse(phrase).kind != "other":
            continue
        teacher = Teacher(phrase, meaning, rng)
        state, reply = IDLE, Reply("nothing")
        if rng.random() < 0.5:
            state, reply = offer(phrase, _START)
        said = teacher.answer(state, reply) if state.stage != "idle" else teacher.opening()
        moment = _START
        while said is not None:
            moment += timedelta(seconds=6)
            state, reply = hear(state, said.words, moment)
            rows.append((number, as_expected(said, state, reply)))
            said = teacher.answer(state, reply)
        number += 1
    return pd.DataFrame(rows, columns=["dialogue", "right"])


def run(turns: int, setup: Setup, trained: Path) -> list[Simulated]:
    """The turns of users, in one list."""
    batches = simulate(turns, setup, trained=trained)
    return [turn for batch in batches for turn in batch if turn.truth["source"] == "user"]


def is_lesson(turn: Simulated) -> bool:
    return bool(turn.truth["gold"].get("domain") == DOMAIN)


def outcomes(turns: Iterable[Simulated], first_only: bool) -> pd.DataFrame:
    """As `benchmarks.rewrites.assistant.outcomes`, without the turns of teaching dialogues."""
    rows: list[tuple[Any, ...]] = [
        (
            turn.record["dialogue_id"].split("-", 2)[2],
            turn.record["user_id"].rsplit("-", 1)[0],
            turn.truth["failure_point"] != "correct",
            TAUGHT in turn.record["nlu"]["signals"],
        )
        for turn in turns
        if not is_lesson(turn) and not (first_only and turn.record["turn_index"])
    ]
    return pd.DataFrame(rows, columns=["dialogue", "home", "defect", "rewritten"])


def goals(turns: Iterable[Simulated]) -> pd.DataFrame:
    """Whether the first goal of each dialogue was missed, as rows of `outcomes`."""
    rows: dict[str, tuple[Any, ...]] = {}
    for turn in turns:
        gold = turn.truth["gold"]
        if gold.get("goal_id") == "g1" and gold["addressed"] and not is_lesson(turn):
            dialogue = turn.record["dialogue_id"].split("-", 2)[2]
            home = turn.record["user_id"].rsplit("-", 1)[0]
            used = TAUGHT in turn.record["nlu"]["signals"]
            rows.setdefault(dialogue, (dialogue, home, not gold["goal_reached"], used))
    return pd.DataFrame(list(rows.values()), columns=["dialogue", "home", "defect", "rewritten"])


def spoken(turns: Iterable[Simulated]) -> pd.DataFrame:
    """The turns of teaching dialogues: dialogue, failure_point, and whether they went right."""
    rows = [
        (turn.record["dialogue_id"], turn.truth["failure_point"])
        for turn in turns
        if is_lesson(turn)
    ]
    frame = pd.DataFrame(rows, columns=["dialogue", "failure_point"])
    frame["right"] = frame["failure_point"] == "correct"
    return frame


def share(frame: pd.DataFrame) -> str:
    """The share of turns that went right with its 95 % interval over dialogues, and the turns."""
    if frame.empty:
        return "– | 0"
    group, groups = pd.factorize(frame["dialogue"])
    hits = frame["right"].to_numpy(bool)
    low, high = interval(
        group, hits, np.ones(len(hits), bool), len(groups), np.random.default_rng(0)
    )
    return f"{hits.mean():.3f} ({low:.3f} to {high:.3f}) | {len(frame):,}"


def dialogue_table(turns: list[Simulated], seed: int) -> list[str]:
    """Turn-level accuracy, as lines of Markdown."""
    through_asr = spoken(turns)
    heard_right = through_asr[through_asr["failure_point"] != "asr"]
    rows = {
        "scripts, typed": share(scripted()),
        "simulated users, typed": share(typed(400, seed)),
        "simulated users, spoken": share(through_asr),
        "simulated users, spoken: turns without an ASR failure": share(heard_right),
    }
    lines = ["| users | turn-level accuracy (95 % over dialogues) | turns |", "|---|---:|---:|"]
    lines += [f"| {name} | {cells} |" for name, cells in rows.items()]
    return [*lines, f"| *published, on other data* | {PUBLISHED:.4f} | |"]


def effect_table(arms: dict[float, list[Simulated]]) -> list[str]:
    """Defects with and without teaching, paired, as lines of Markdown."""
    lines = [
        "| users who teach | taught phrases used | defects at the first request | without | "
        "change (95 % over homes) | first goal missed: change | defects on all turns: change |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    control = {only: outcomes(arms[0.0], only) for only in (False, True)}
    missed = goals(arms[0.0])
    for part, turns in arms.items():
        if not part:
            continue
        every, first = (paired(outcomes(turns, only), control[only]) for only in (False, True))
        goal = paired(goals(turns), missed)
        lines.append(
            f"| {part:.0%} | {every.rewritten:,} | {first.defects:,} | {first.before:,} | "
            f"{_change(first)} | {_change(goal)} | {_change(every)} |"
        )
    return lines


def _change(of: Paired) -> str:
    return f"{of.change:+.1%} ({of.low:+.1%} to {of.high:+.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--homes", type=int, default=24)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--habit", type=float, default=0.6)
    given = parser.parse_args()
    setup = Setup(given.seed, given.days, homes=given.homes, gold=0.0)
    setup = replace(setup, habit=given.habit, paired=True)
    with TemporaryDirectory() as temporary:
        arms = {
            part: run(given.turns, replace(setup, teaching=part), Path(temporary))
            for part in (0.0, *SHARES)
        }
    print("\n".join([*effect_table(arms), "", *dialogue_table(arms[SHARES[-1]], given.seed)]))


if __name__ == "__main__":
    main()
