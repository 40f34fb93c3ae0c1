"""The recogniser: what the channel let through, turned into an n-best list with posteriors.

It knows a lexicon, a language model and how its front end tends to err; it never sees what was
said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.audio.channel import Channel, Observed, listen
from assistant.audio.language_model import END, MARKS, LanguageModel, train
from assistant.audio.lexicon import spoken
from assistant.audio.phones import INDEX, SPACE
from assistant.audio.search import LONGEST, SEGMENTS, Workspace, backward, forward
from assistant.contract import LOCALES, Context, Sound, Transcript
from assistant.language.words import spoken as in_words

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
HOME = "en-US"
_NORMS = (SPACE**2).sum(axis=1)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the recogniser weighs what it knows.

    Attributes
    ----------
    deviation: noise that its acoustic model was trained with, in articulatory space.
    lost, added: log probability of a phone that left no segment, and of a segment that is none.
    language: weight of the language model against the acoustics. word: cost of every word.
    at_home: log weight of words from the household's own names (contacts, lamps, rooms).
    sharpness: scale of path scores in the posteriors.
    reach, slope: how badly a word may sound, and the share of it that only comes with its length.
    keep: how many words may begin at one segment, where long ones get `credit` per segment.
    beam, limit: how far behind the best a sentence may be, and how many go on at one segment.
    listed, wanted: hypotheses put out, and hypotheses that share the posterior mass.
    """

    deviation: float = 0.42
    lost: float = -4.0
    added: float = -5.0
    language: float = 0.9
    word: float = 0.0
    at_home: float = 1.0
    sharpness: float = 0.8
    reach: float = 10.0
    slope: float = 0.4
    keep: int = 100
    credit: float = 0.6
    beam: float = 10.0
    limit: int = 12
    listed: int = 5
    wanted: int = 12


class Tree:
    """Pronunciations of a vocabulary as a prefix tree, breadth first: children lie side by side."""

    def __init__(self, model: LanguageModel, locale: str) -> None:
        nodes: list[dict[str, int]] = [{}]
        at: list[list[int]] = [[]]
        for number, word in enumerate(model.words):
            if word in MARKS:
                continue
            for phones in spoken(word, locale):
                here = 0
                for phone in phones:
                    down = nodes[here].get(phone)
                    if down is None:
                        down = len(nodes)
                        nodes[here][phone] = down
                        nodes.append({})
                        at.append([])
                    here = down
                at[here].append(number)
        order, sounds = [0], [0]
        for old in order:
            for phone, down in sorted(nodes[old].items()):
                order.append(down)
                sounds.append(INDEX[phone])
        self.children = np.array([len(nodes[old]) for old in order])
        self.child = np.cumsum(self.children) - self.children + 1
        self.phone = np.array(sounds)
        self.leaves = np.array([len(at[old]) for old in order])
        self.leaf = np.cumsum(self.leaves) - self.leaves
        self.word = np.array([number for old in order for number in at[old]])
        self.nodes = np.stack((self.child, self.children, self.phone, self.leaf, self.leaves))


@dataclass(eq=False)
class Recogniser:
    """An `AsrStage`. Make one with `build_recogniser`, variants of it with `release`.

    Attributes
    ----------
    accents: locales whose pronunciations the lexicon has; speakers of a device set to any other
        locale are heard as if they were American.
    """

    version: str
    model: LanguageModel
    trees: Mapping[str, Tree]
    accents: Collection[str]
    channel: Channel = field(default_factory=Channel)
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        m = self.model
        self._lm = (
            m.unigram, m.unigram_next, np.stack((m.first, m.count, m.shorter)),
            np.stack((m.word, m.following)), m.logp, m.backoff,
        )  # fmt: skip
        self._work = Workspace(max(tree.nodes.shape[1] for tree in self.trees.values()))
        self._prior = 0.6 * self.settings.language * np.maximum(m.unigram, -12.0)
        bound = m.unigram.copy()
        np.maximum.at(bound, m.word, m.logp)
        self._bound = self.settings.language * bound
        self._trees = {locale: (tree.nodes, tree.word) for locale, tree in self.trees.items()}
        self._bonus = lru_cache(maxsize=512)(self._bonus_of)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_bonus"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bonus = lru_cache(maxsize=512)(self._bonus_of)

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Transcript:
        observed = listen(sound, self.channel, rng, prompted=bool(context.prompt))
        names = tuple(name for thing in context.home for name in (thing.name, *thing.aliases))
        return self.decode(observed, context.locale, names, rng)

    def decode(
        self, observed: Observed, locale: str, names: tuple[str, ...], rng: np.random.Generator
    ) -> Transcript:
        """n-best list for what was observed. `names` are likelier here than elsewhere."""
        s = self.settings
        points = observed.points[:SEGMENTS]
        # A noisy signal says less: the acoustic model widens with the noise it thinks there is.
        width = s.deviation * (0.8 + 10.0 ** ((4.0 - observed.snr_db) / 20.0))
        distance = (points**2).sum(axis=1)[:, None] - 2.0 * points @ SPACE.T + _NORMS
        match = -0.5 * distance / width**2
        match -= match.max(axis=1, initial=-1e9, keepdims=True)
        scores, lists, looked = self._search(match, locale, names)
        if not lists:
            return self._nothing(observed, rng)
        weights = np.exp(s.sharpness * (scores - scores[0]))
        posteriors = weights / weights.sum()
        hypotheses = tuple(
            (" ".join(text), round(float(p), 4))
            for text, p in zip(lists[: s.listed], posteriors, strict=False)
        )
        best = lists[0]
        lm_score = self.model.score(best)
        acoustic = (float(scores[0]) - s.language * lm_score) / max(len(points), 1)
        entropy = -float((posteriors * np.log(np.maximum(posteriors, 1e-12))).sum())
        signals = {
            "snr_db": round(observed.snr_db, 2),
            "words": float(len(best)),
            "lm_score": round(lm_score / (len(best) + 1), 4),
            "acoustic_score": round(acoustic, 4),
            "speech_rate": round(len(points) / observed.seconds, 3),
            "entropy": round(entropy, 4),
            "segments": float(len(points)),
            "arcs": float(looked),
        }
        return Transcript(
            hypotheses=hypotheses,
            audio_ms=round(1000.0 * observed.seconds, 1),
            endpoint=observed.endpoint,
            latency_ms=self._latency(observed, looked, rng),
            signals=signals,
        )

    def _search(
        self, match: Array, locale: str, names: tuple[str, ...]
    ) -> tuple[Array, list[list[str]], int]:
        s, m, work = self.settings, self.model, self._work
        tree, word_at = self._trees[locale if locale in self._trees else HOME]
        last, arcs = forward(
            match, s.lost, s.added, tree, word_at, self._prior, s.reach, s.slope, s.keep, s.credit,
            *self._lm,
            self._bonus(names), self._bound, m.start, s.language, s.beam, s.limit, work.tokens,
            work.token_scores, work.found, work.found_scores, work.rank, work.boundaries,
            work.reached, work.arcs, work.gains,
            work.heads, work.best,
        )  # fmt: skip
        endings, boundary = [], last
        while boundary >= 0:
            state, boundary = work.boundaries[0, boundary], work.boundaries[2, boundary]
            endings.append(s.language * m.step(int(state), END)[0])
        scores = np.zeros(s.wanted)
        found = np.zeros((s.wanted, LONGEST), np.int64)
        count = backward(
            last, s.wanted, np.array(endings), work.boundaries, work.reached, work.arcs, work.gains,
            work.parts, work.part_scores, scores, found,
        )  # fmt: skip
        words = m.words
        lists = [[words[n] for n in row[: row.index(-1)]] for row in found[:count].tolist()]
        return scores[:count], lists, int(arcs)

    def _bonus_of(self, names: tuple[str, ...]) -> Array:
        bonus = np.full(len(self.model.words), self.settings.word)
        for name in names:
            for word in in_words(name).split():
                number = self.model.numbers.get(word)
                if number is not None:
                    bonus[number] = self.settings.word + self.settings.at_home
        return bonus

    def _latency(self, observed: Observed, looked: int, rng: np.random.Generator) -> float:
        work = 60.0 + 25.0 * observed.seconds + looked / 60.0
        return round(work * float(np.exp(rng.normal(0.0, 0.2))), 1)

    def _nothing(self, observed: Observed, rng: np.random.Generator) -> Transcript:
        signals = {"snr_db": round(observed.snr_db, 2), "words": 0.0}
        return Transcript(
            hypotheses=(),
            audio_ms=round(1000.0 * observed.seconds, 1),
            endpoint=observed.endpoint,
            latency_ms=self._latency(observed, 0, rng),
            signals=signals,
        )


def build_recogniser(
    sentences: Iterable[Sequence[str]],
    vocabulary: Iterable[str] = (),
    *,
    version: str = "asr-4.1",
    level: float = 1.0,
    accents: Collection[str] = LOCALES,
    far_field: Mapping[str, float] | None = None,
    settings: Settings | None = None,
) -> Recogniser:
    """Train a recogniser.

    Parameters
    ----------
    sentences: word sequences that the language model is counted from; `text_for_asr` makes them.
    vocabulary: further words it shall be able to hear.
    level: how much the channel garbles, 1 as fitted.
    accents: locales that it has pronunciations for.
    far_field: what a metre of distance costs on far-field devices, per accent (`Channel`).
    """
    unknown = sorted(set(accents) - set(LOCALES))
    if unknown:
        raise ValueError(f"Unknown accent {unknown[0]!r}; there are {', '.join(LOCALES)}.")
    if level < 0.0:
        raise ValueError(f"The channel's level must not be negative; it was {level}.")
    model = train(sentences, vocabulary)
    locales = [locale for locale in LOCALES if locale in accents or locale == HOME]
    channel = Channel(level=level)
    if far_field is not None:
        channel = replace(channel, far_field={**channel.far_field, **far_field})
    return Recogniser(
        version=version,
        model=model,
        trees={locale: Tree(model, locale) for locale in locales},
        accents=tuple(locales),
        channel=channel,
        settings=settings or Settings(),
    )


def release(
    base: Recogniser,
    version: str,
    *,
    level: float | None = None,
    accents: Collection[str] | None = None,
    far_field: Mapping[str, float] | None = None,
    settings: Settings | None = None,
) -> Recogniser:
    """`base` with something changed, sharing its models: the next version, better or worse.

    ``release(base, "asr-4.2", far_field={"en-GB": 0.3})`` has lost its adaptation to British
    speakers in their living rooms.
    """
    channel = base.channel
    if level is not None:
        channel = replace(channel, level=level)
    if far_field is not None:
        channel = replace(channel, far_field={**channel.far_field, **far_field})
    kept = base.accents if accents is None else accents
    return Recogniser(
        version=version,
        model=base.model,
        trees={name: tree for name, tree in base.trees.items() if name in kept or name == HOME},
        accents=tuple(kept),
        channel=channel,
        settings=settings or base.settings,
    )
