"""Demo data: traces of some weeks, the truth about them, and the planted incidents."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from zlib import crc32

import numpy as np
import orjson
import pyarrow as pa

from assistant.output import truths, writer_for
from assistant.releases import (
    LEVEL,
    PARTS,
    RELEASES,
    Assembly,
    Release,
    Timeline,
    train_part,
)
from assistant.scale import scale
from assistant.simulate import Adapt, Simulated, Simulation, day_weight
from assistant.stages import LOCALES
from assistant.trained import agree
from assistant.world import World, build_world
from data.errors import UsageError, machine_error
from data.parallel import runner
from data.store.paths import must_be_text
from data.store.temporary import (
    DraftTaken,
    draft,
    scratch,
)
from labels.feedback.asking import Asker, Asking
from progress import Progress, silent

START = datetime(2026, 3, 2, tzinfo=UTC)
LONGEST_DAYS = 3650
MOST_TURNS = 10_000_000
MOST_SCALED = 1_000_000_000
# Approximate turns of a shard: so many that the dialogue cut short at its end does not matter.
SHARD = 200
# Ingestion ignores names that begin with an underscore, so the folder is still one of traces.
TRUTH_NAME = "_truth.parquet"
INCIDENTS_NAME = "_incidents.json"
# The traces, if `to` is a folder.
FOLDER_NAME = "traces.jsonl.zst"


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of a simulation, other than the number of turns.

    Attributes
    ----------
    gold: share of the dialogues that are annotated. level: how much the audio channel garbles.
    locales: of the homes. releases: versions of all components. adapt: replaces stages
        (`Simulation`). habit, paired: see `Simulation`. asking: when to ask "did I answer your
        question?"; by default at random. teaching: share of the users who teach the assistant;
        None where it cannot be taught. It remembers whom it asked, and what it was taught, so with
        either one process simulates all turns.
    """

    seed: int = 0
    days: int = 90
    start: datetime = START
    homes: int = 300
    gold: float = 0.08
    locales: tuple[str, ...] = LOCALES
    level: float = LEVEL
    releases: tuple[Release, ...] = RELEASES
    adapt: Adapt | None = None
    habit: float = 0.0
    paired: bool = False
    asking: Asking | None = None
    teaching: float | None = None

    def check(self) -> None:
        """Raise UsageError for an invalid setting."""
        if not 1 <= self.days <= LONGEST_DAYS:
            raise UsageError(
                f"Cannot simulate {self.days} days; give a number from 1 to {LONGEST_DAYS}."
            )
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"The seed {self.seed} is out of range; give 0 to {2**31 - 1}.")
        if self.homes < 1:
            raise UsageError(f"Cannot simulate {self.homes} homes; give at least 1.")
        if not 0.0 <= self.gold <= 1.0:
            raise UsageError(f"The annotated share must be between 0 and 1; it was {self.gold:g}.")
        if not 0.0 <= self.level <= 10.0:
            raise UsageError(f"The audio level must be between 0 and 10; it was {self.level:g}.")
        unknown = [locale for locale in self.locales if locale not in LOCALES]
        if unknown or not self.locales:
            problem = f"Unknown locale '{unknown[0]}'" if unknown else "No locale was given"
            raise UsageError(f"{problem}; there are {', '.join(LOCALES)}.")
        if not 0.0 <= (self.teaching or 0.0) <= 1.0:
            raise UsageError(
                f"The share of users who teach must be between 0 and 1; it was {self.teaching:g}."
            )
        self.timeline()

    def timeline(self) -> Timeline:
        return Timeline(self.start, self.days, self.releases)

    def world(self) -> World:
        world = build_world(self.seed, self.homes)
        if set(self.locales) == set(LOCALES):
            return world
        homes = tuple(home for home in world.homes if home.locale in self.locales)
        if not homes:
            raise UsageError(
                f"None of the {self.homes} homes speaks {' or '.join(self.locales)}; "
                "give more homes."
            )
        return replace(world, homes=homes)


@dataclass(frozen=True, slots=True)
class Report:
    """What was written where. `failure_points` counts the simulated turns by their truth."""

    turns: int
    traces: Path
    truth: Path
    incidents: Path
    failure_points: dict[str, int]


def write_demo(
    to: str | Path,
    turns: int = 20_000,
    seed: int = 0,
    days: int = 90,
    *,
    setup: Setup | None = None,
    scaled: int | None = None,
    processes: int | None = None,
    progress: Progress = silent,
) -> Report:
    """Simulate turns and write them to files; the same settings give the same bytes.

    Parameters
    ----------
    to
        The traces: a file ``.jsonl``, ``.jsonl.gz``, ``.jsonl.zst`` or ``.parquet``, or a folder,
        which then gets ``traces.jsonl.zst``. ``_truth.parquet`` and ``_incidents.json`` are
        written beside them, under names that ingesting the folder passes over.
    setup
        Further settings; its `seed` and `days` are replaced by the arguments.
    scaled
        Multiply the turns to this number, as Parquet files ``to/turns-00000.parquet`` and so on;
        the truth is that of the original turns.

    Raises
    ------
    UsageError: an invalid setting or path, or another process is writing a demo into the folder;
        nothing has been written then.
    """
    setup = replace(setup or Setup(), seed=seed, days=days)
    setup.check()
    if turns < 1:
        raise UsageError(f"Cannot make {turns} turns; give at least 1.")
    if turns > MOST_TURNS or (scaled or 0) > MOST_SCALED:
        raise UsageError(
            f"That is too much: simulate at most {MOST_TURNS} turns, and scale them to at most "
            f"{MOST_SCALED}."
        )
    if scaled is not None and scaled < turns:
        raise UsageError(
            f"Cannot scale {turns} turns to {scaled}; give at least as many as are simulated."
        )
    target = Path(to).expanduser()
    folder, traces = _destination(target, scaled is not None)
    for name in (TRUTH_NAME, INCIDENTS_NAME, traces):
        if (folder / name).is_dir():
            raise UsageError(f"{folder / name} is a folder; remove it or write elsewhere.")
    with _drafting(folder) as draft_folder:
        failure_points = _write(draft_folder, traces, turns, setup, scaled, processes, progress)
        # A kill from here on may leave too little, but never the truth about other turns.
        old = [folder / TRUTH_NAME, folder / INCIDENTS_NAME]
        if target == folder:
            # The files of an earlier run would be read together with these.
            old += [folder / FOLDER_NAME, *folder.glob("turns-[0-9][0-9][0-9][0-9][0-9].parquet")]
        for path in old:
            path.unlink(missing_ok=True)
        for path in sorted(draft_folder.iterdir(), reverse=True):
            os.replace(path, folder / path.name)
    return Report(
        turns=scaled or turns,
        traces=folder / traces if scaled is None else folder,
        truth=folder / TRUTH_NAME,
        incidents=folder / INCIDENTS_NAME,
        failure_points=failure_points,
    )


@contextmanager
def _drafting(folder: Path) -> Iterator[Path]:
    """A draft in `folder`, which is created if it is missing, and removed if it stays empty.

    The name is always the same, so that only one process at a time writes into the folder, and
    cleans up after a killed one.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft(folder / ".faultline-demo-draft") as draft_folder:
            yield draft_folder
    except DraftTaken as error:
        raise UsageError(
            f"Another demo is being written to {folder}; wait until it is done, or write elsewhere."
        ) from error
    except OSError as error:
        problem = machine_error(error, folder)
        raise problem or UsageError(
            f"Cannot write to {folder}: {error.strerror or error}."
        ) from error
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def _destination(target: Path, scaled: bool) -> tuple[Path, str]:
    """The folder to write into, and the name of the traces in it."""
    must_be_text(target)
    if scaled:
        if target.is_file() or (target.suffix and not target.is_dir()):
            raise UsageError(f"Scaled turns are several files; {target} must be a folder.")
        return target, "turns"
    if target.is_dir() or not target.suffix:
        if target.is_file():
            raise UsageError(f"Cannot write into {target}: it is a file, not a folder.")
        return target, FOLDER_NAME
    if not target.name.lower().endswith((".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")):
        raise UsageError(
            f"Cannot write '{target.name}'; its name must end in .jsonl, .jsonl.gz, .jsonl.zst "
            "or .parquet."
        )
    if target.name.lower() == TRUTH_NAME:
        raise UsageError(f"The truth is written to {TRUTH_NAME}; give the traces another name.")
    return target.parent, target.name


def _write(
    folder: Path,
    traces: str,
    turns: int,
    setup: Setup,
    scaled: int | None,
    processes: int | None,
    progress: Progress,
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    name = "base.parquet" if scaled else traces
    done = 0
    with ExitStack() as stack:
        # Closed explicitly, so that an interrupt does not wait for the garbage collector.
        simulated = stack.enter_context(closing(simulate(turns, setup, processes=processes)))
        records = stack.enter_context(writer_for(folder / name))
        truth = stack.enter_context(truths(folder / TRUTH_NAME))
        for batch in simulated:
            records.write(batch)
            truth.write(batch)
            counts.update(turn.truth["failure_point"] for turn in batch)
            done += len(batch)
            progress(done, turns, "simulating", done)
    incidents = [incident.record() for incident in setup.timeline().incidents]
    text = orjson.dumps(incidents, option=orjson.OPT_INDENT_2)
    (folder / INCIDENTS_NAME).write_bytes(text + b"\n")
    if scaled:
        import pyarrow.parquet as pq

        base: pa.Table = pq.read_table(folder / name)
        (folder / name).unlink()
        scale(base, scaled, folder, setup.seed)
    return dict(sorted(counts.items()))


def simulate(
    turns: int,
    setup: Setup,
    *,
    processes: int | None = None,
    trained: Path | None = None,
    first_day: int = 0,
) -> Generator[list[Simulated]]:
    """Batches of turns in order of time, `turns` in all.

    Parameters
    ----------
    processes
        By default one per core, at most four; the turns do not depend on it.
    trained
        A folder that stores the trained components of this setup from one call to the next.
    first_day
        Days before this one are left out, with their turns; the others are as they would be.

    Raises
    ------
    UsageError: an invalid setting, `trained` has components of other settings, or `setup.adapt`
        cannot be sent to the other processes.
    """
    setup.check()
    if setup.asking is not None or setup.teaching is not None:
        processes = 1
    if processes is None:
        processes = min(os.cpu_count() or 1, 4)
    shards = [shard for shard in _shards(turns, setup) if shard[0].stop > first_day]
    with ExitStack() as stack:
        folder = trained or stack.enter_context(scratch("faultline-assistant-"))
        agree(
            folder, seed=setup.seed, homes=setup.homes, locales=sorted(set(setup.locales)),
            level=setup.level, nlu=setup.timeline().of("nlu"),
            **({} if setup.teaching is None else {"teaching": True}),
        )  # fmt: skip
        path = folder / "setup.pickle"
        stack.callback(_forget, str(path))
        if processes < 2:
            _in_process[str(path)] = setup
        else:
            path.write_bytes(_pickled(setup))
        run = stack.enter_context(runner(processes))
        missing = [part for part in PARTS if not path.with_name(part).exists()]
        for _ in run.map(_train, ((str(path), part) for part in missing)):
            pass
        name = run_name(turns, setup)
        parts = run.map(_simulate_shard, ((str(path), name, *shard) for shard in shards))
        late: list[Simulated] = []
        for days, group in groupby(zip(shards, parts, strict=True), key=lambda pair: pair[0][0]):
            batch = late + [turn for _, part in group for turn in part]
            batch.sort(key=lambda turn: (turn.at, turn.record["turn_id"]))
            # Turns after midnight belong between the turns of the next day.
            end = setup.start + timedelta(days=days.stop)
            cut = sum(turn.at < end for turn in batch)
            late = batch[cut:]
            yield batch[:cut]
        if late:
            yield late


def run_name(turns: int, setup: Setup) -> str:
    """The prefix of the ids of all dialogues of a run; other settings have another prefix."""
    settings = {field.name: getattr(setup, field.name) for field in fields(setup)}
    adapt = settings.pop("adapt")
    # Added later, when runs without them had their names.
    for added in ("habit", "paired", "asking", "teaching"):
        if settings[added] == getattr(Setup(), added):
            del settings[added]
    adapt_name = getattr(adapt, "__qualname__", type(adapt).__qualname__)
    key = repr((turns, sorted(settings.items()), adapt_name))
    return f"s{setup.seed}-{crc32(key.encode()):08x}"


def _pickled(setup: Setup) -> bytes:
    try:
        return pickle.dumps(setup)
    # The exception depends on the object that cannot be pickled.
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise _not_sent(error) from error


def _not_sent(error: Exception) -> UsageError:
    reason = str(error).split("\n")[0].rstrip(".")
    return UsageError(
        f"What was given as adapt cannot be sent to other processes ({reason}); give a function "
        "of a module that can be imported, or simulate with processes=1."
    )


def _forget(path: str) -> None:
    _in_process.pop(path, None)
    _loaded.cache_clear()
    _simulation.cache_clear()


def _shards(turns: int, setup: Setup) -> Iterator[tuple[range, int, int]]:
    """For each shard its days, its number among the shards of these days, and its turns."""
    step = max(1, min(setup.days, round(SHARD * setup.days / turns)))
    spans = [range(first, min(first + step, setup.days)) for first in range(0, setup.days, step)]
    weights = np.array([sum(day_weight(setup.start, day) for day in span) for span in spans])
    # Busy days and quiet ones, beyond the rhythm of the week.
    rng = np.random.default_rng([setup.seed, 43])
    weights *= np.exp(rng.normal(0.0, 0.06, len(spans)))
    ends = np.rint(np.cumsum(weights) / weights.sum() * turns).astype(int)
    for span, quota in zip(spans, np.diff(ends, prepend=0).tolist(), strict=True):
        pieces = max(1, round(quota / SHARD))
        for number in range(pieces):
            size = quota * (number + 1) // pieces - quota * number // pieces
            if size:
                yield span, number, size


# Setups of simulations in this process; they need not be picklable.
_in_process: dict[str, Setup] = {}


@lru_cache(maxsize=1)
def _loaded(path: str) -> tuple[Setup, World]:
    setup = _in_process.get(path)
    if setup is None:
        try:
            setup = pickle.loads(Path(path).read_bytes())
        except (AttributeError, ImportError) as error:
            raise _not_sent(error) from error
        assert isinstance(setup, Setup)
    return setup, setup.world()


def _train(path: str, part: str) -> None:
    setup, world = _loaded(path)
    trained = train_part(
        part, world, setup.timeline(), setup.seed, setup.level,
        teaching=setup.teaching is not None,
    )  # fmt: skip
    # A killed process must not leave half a component behind.
    temporary = Path(path).with_name(f".{part}")
    temporary.write_bytes(trained)
    os.replace(temporary, Path(path).with_name(part))


@lru_cache(maxsize=1)
def _simulation(path: str) -> Simulation:
    setup, world = _loaded(path)
    parts = {part: Path(path).with_name(part).read_bytes() for part in PARTS}
    assembly = Assembly(world, setup.timeline(), parts)
    return Simulation(
        world, assembly, setup.seed, setup.gold, setup.adapt,
        habit=setup.habit, paired=setup.paired,
        asker=Asker(setup.asking) if setup.asking else None,
        teaching=setup.teaching,
    )  # fmt: skip


def _simulate_shard(path: str, name: str, days: range, number: int, turns: int) -> list[Simulated]:
    return _simulation(path).shard(days, number, turns, name)
