"""The recogniser: from the channel's output to an n-best list with posteriors.

It knows a lexicon, a language model and how its front end tends to err; it never sees the words
that were spoken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.asr.candidates import SEGMENTS
from assistant.asr.channel import (
    Channel,
    Observed,
    listen,
)
from assistant.asr.language_model import LanguageModel, train
from assistant.asr.phones import SPACE
from assistant.asr.prefix_tree import Tree
from assistant.asr.search import Search, Settings
from assistant.spoken_forms import spoken as in_words
from assistant.stages import (
    LOCALES,
    Context,
    Sound,
    Transcript,
)

Array = NDArray[np.float64]
HOME = "en-US"
_NORMS = (SPACE**2).sum(axis=1)


@dataclass(eq=False)
class Recogniser:
    """An `AsrStage`. Make one with `build_recogniser`, variants of it with `release`.

    Attributes
    ----------
    accents: locales whose pronunciations the lexicon has; on a device set to any other locale,
        American pronunciations are assumed.
    """

    version: str
    model: LanguageModel
    trees: Mapping[str, Tree]
    accents: Collection[str]
    channel: Channel = field(default_factory=Channel)
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self._search = Search(self.model, self.trees, self.settings)
        self._bonus = lru_cache(maxsize=512)(self._bonus_of)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_bonus"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bonus = lru_cache(maxsize=512)(self._bonus_of)

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Transcript:
        observed = listen(sound, self.channel, rng)
        names = tuple(name for entity in context.home for name in (entity.name, *entity.aliases))
        return self.decode(observed, context.locale, names, rng)

    def decode(
        self, observed: Observed, locale: str, names: tuple[str, ...], rng: np.random.Generator
    ) -> Transcript:
        """n-best list for an utterance; the words of `names` are likelier in this household."""
        s = self.settings
        points = observed.points[:SEGMENTS]
        # The acoustic model widens with the estimated noise, as a noisy signal says less.
        width = s.deviation * (0.8 + 10.0 ** ((4.0 - observed.snr_db) / 20.0))
        distance = (points**2).sum(axis=1)[:, None] - 2.0 * points @ SPACE.T + _NORMS
        match = -0.5 * distance / width**2
        match -= match.max(axis=1, initial=-1e9, keepdims=True)
        scores, sentences, arcs = self._search(
            match, locale if locale in self.trees else HOME, self._bonus(names)
        )
        if not sentences:
            return self._nothing(observed, rng)
        weights = np.exp(s.sharpness * (scores - scores[0]))
        posteriors = weights / weights.sum()
        hypotheses = tuple(
            (" ".join(text), round(float(p), 4))
            for text, p in zip(sentences[: s.listed], posteriors, strict=False)
        )
        best = sentences[0]
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
            "arcs": float(arcs),
        }
        return Transcript(
            hypotheses=hypotheses,
            audio_ms=round(1000.0 * observed.seconds, 1),
            endpoint=observed.endpoint,
            latency_ms=self._latency(observed, arcs, rng),
            signals=signals,
        )

    def _bonus_of(self, names: tuple[str, ...]) -> Array:
        bonus = np.full(len(self.model.words), self.settings.word)
        for name in names:
            for word in in_words(name).split():
                number = self.model.numbers.get(word)
                if number is not None:
                    bonus[number] = self.settings.word + self.settings.at_home
        return bonus

    def _latency(self, observed: Observed, arcs: int, rng: np.random.Generator) -> float:
        work = 60.0 + 25.0 * observed.seconds + arcs / 60.0
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
    vocabulary: further words that it can recognise.
    level: scale of the channel's distortion (`Channel`), 1 as fitted.
    accents: locales whose pronunciations its lexicon has.
    far_field: what a metre of distance costs on far-field devices, per accent (`Channel`).
    """
    unknown = sorted(set(accents) - set(LOCALES))
    if unknown:
        raise ValueError(f"Unknown accent {unknown[0]!r}; choose from {', '.join(LOCALES)}.")
    if level < 0.0:
        raise ValueError(f"The channel's level must be 0 or more; it is {level}.")
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
    """A new version of `base` with some settings changed; it shares the models of `base`.

    ``release(base, "asr-4.2", far_field={"en-GB": 0.3})`` has lost its adaptation to British
    speakers in their living rooms.
    """
    channel = base.channel
    if level is not None:
        channel = replace(channel, level=level)
    if far_field is not None:
        channel = replace(channel, far_field={**channel.far_field, **far_field})
    locales = base.accents if accents is None else accents
    return Recogniser(
        version=version,
        model=base.model,
        trees={name: tree for name, tree in base.trees.items() if name in locales or name == HOME},
        accents=tuple(locales),
        channel=channel,
        settings=settings or base.settings,
    )
