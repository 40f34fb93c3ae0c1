"""Training NLU on sentences, as for a release of the assistant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assistant.er.resolver import Catalogue
from assistant.intents.intents import INTENTS, Intent
from assistant.language.wording import CORRECTIONS, Example, Utterance
from assistant.nlu.chatter import chatter
from assistant.nlu.cues import Situation, sentence_cues
from assistant.nlu.follow_ups import fit_follow_ups
from assistant.nlu.gazetteer import Gazetteer
from assistant.nlu.intent_classifier import fit_linear
from assistant.nlu.nlu import NOTHING, Nlu, situate
from assistant.nlu.slot_tagger import Tagger, fit_tagger, roles_of


@dataclass(frozen=True, slots=True)
class Damage:
    """Damaged training data: a share of the sentences of `intent` is labelled `into`.

    Where `into` is empty, the sentences are missing instead.
    """

    intent: str
    into: str = ""
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence to train on or, if `held_out`, to calibrate the confidence on.

    `follows`: it is a follow-up.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str
    situation: Situation
    held_out: bool = False
    follows: bool = False


# Shares of the sentences of which NLU also sees copies with a misheard word, and after "no i said";
# how many sentences the tagger sees; and chatter as a share of the sentences.
MISHEARD = 0.15
CORRECTED = 0.05
TAGGED = 9000
CHATTER = 0.06
# Share of the sentences that calibrate the classifier's confidence.
HELD_OUT = 0.1


def train_nlu(
    examples: Iterable[Example | tuple[Utterance, Intent]] | Sequence[Sentence],
    seed: int,
    version: str = "nlu-7.0",
    *,
    catalogue: Catalogue | None = None,
    without: Sequence[Damage] = (),
    tagger: Tagger | None = None,
    intents: Mapping[str, Intent] = INTENTS,
) -> Nlu:
    """Train the intent classifier and the slot tagger.

    Parameters
    ----------
    examples: sentences with their context; without it, NLU cannot learn what the situation tells
        ("and tomorrow", "what is the temperature" with the oven on). `Sentence`s, as `situated`
        returns them, serve several trainings.
    catalogue: its names, and those of the household, are the names that NLU knows.
    without: damage to the training data, for a release that regresses.
    tagger: that of an earlier release, to train the intent classifier alone.
    """
    rng = np.random.default_rng([seed, 7])
    gazetteer = Gazetteer(catalogue.by_id.values() if catalogue else ())
    sentences: list[Sentence] = []
    plain: list[Example | tuple[Utterance, Intent]] = []
    for example in examples:
        if isinstance(example, Sentence):
            sentences.append(example)
        else:
            plain.append(example)
    sentences = sentences or situated(plain, gazetteer, rng)
    domains = {name: intent.domain for name, intent in intents.items()}
    allowed = {n: frozenset(slot.name for slot in i.slots) for n, i in intents.items()}
    if tagger is None:
        to_tag = sentences[:TAGGED]
        to_tag += corrected(to_tag, domains, rng)
        tagged = ((s.words, s.tags, s.intent) for s in to_tag)
        tagger = fit_tagger(tagged, roles_of(intents.values()))
    sentences = damaged(sentences, without, rng)
    sentences += corrected(sentences, domains, rng)
    kept_slots = {name: intent.kept_slots for name, intent in intents.items()}
    after_same = ((s.words, s.follows) for s in sentences if s.situation.before == s.intent)
    follow_ups = fit_follow_ups(after_same, kept_slots)
    sentences += misheard(sentences, rng)
    held_out = [sentence.held_out for sentence in sentences]
    nothing = chatter(rng, int(CHATTER * len(sentences)))
    rows = [sentence_cues(s.words, s.situation) for s in sentences]
    befores = [s.situation for s in sentences if s.situation.before] or [Situation()]
    for words in nothing:
        situation = Situation(named=tuple(gazetteer.cues(words)))
        if rng.random() < 0.2:
            other = befores[int(rng.integers(len(befores)))]
            situation = replace(situation, before=other.before, domain=other.domain)
        rows.append(sentence_cues(words, situation))
    labels = [s.intent for s in sentences] + [NOTHING] * len(nothing)
    held_out += (rng.random(len(nothing)) < HELD_OUT).tolist()
    classifier = fit_linear(rows, labels, rng, held_out=held_out)
    return Nlu(classifier, tagger, domains, allowed, version, gazetteer, follow_ups)


def situated(
    examples: Iterable[Example | tuple[Utterance, Intent]],
    gazetteer: Gazetteer,
    rng: np.random.Generator,
) -> list[Sentence]:
    """Sentences with the part of their context that NLU uses, where they have one."""
    homes: dict[int, Gazetteer] = {}
    sentences = []
    for example in examples:
        utterance, intent = example[:2]
        situation = Situation(named=tuple(gazetteer.cues(utterance.words)))
        follows = False
        if isinstance(example, Example):
            follows = example.follows
            context = example.context
            home = homes.get(id(context.home))
            if home is None:
                home = homes[id(context.home)] = Gazetteer(context.home)
            situation = situate(utterance.words, context, gazetteer, home)
        held_out = bool(rng.random() < HELD_OUT)
        sentences.append(
            Sentence(utterance.words, utterance.tags, intent.name, situation, held_out, follows)
        )
    return sentences


def damaged(
    sentences: Sequence[Sentence], damage: Sequence[Damage], rng: np.random.Generator
) -> list[Sentence]:
    """The sentences with `damage` applied: relabelled, or missing."""
    remaining = []
    for sentence in sentences:
        rule = next((d for d in damage if d.intent == sentence.intent), None)
        if rule is None or rng.random() >= rule.share:
            remaining.append(sentence)
        elif rule.into:
            remaining.append(replace(sentence, intent=rule.into))
    return remaining


def corrected(
    sentences: Sequence[Sentence], domains: Mapping[str, str], rng: np.random.Generator
) -> list[Sentence]:
    """Copies of some sentences as corrections after a misunderstanding: "no i said …"."""
    copies = []
    for sentence in sentences:
        if rng.random() >= CORRECTED:
            continue
        opening = CORRECTIONS[int(rng.integers(len(CORRECTIONS)))].split()
        other = sentences[int(rng.integers(len(sentences)))].intent
        before = sentence.intent if rng.random() < 0.6 else other
        copies.append(
            replace(
                sentence,
                words=(*opening, *sentence.words),
                tags=(*("O" for _ in opening), *sentence.tags),
                situation=replace(
                    sentence.situation, before=before, domain=domains.get(before, "")
                ),
            )
        )
    return copies


def misheard(sentences: Sequence[Sentence], rng: np.random.Generator) -> list[Sentence]:
    """Copies of some sentences with a word lost or replaced, as recognisers do it."""
    vocabulary = [word for sentence in sentences for word in sentence.words]
    copies = []
    for sentence in sentences:
        if len(sentence.words) < 2 or rng.random() >= MISHEARD:
            continue
        i = int(rng.integers(len(sentence.words)))
        instead = [] if rng.random() < 0.4 else [vocabulary[int(rng.integers(len(vocabulary)))]]
        words = (*sentence.words[:i], *instead, *sentence.words[i + 1 :])
        tags = (*sentence.tags[:i], *("O" for _ in instead), *sentence.tags[i + 1 :])
        # A copy of a held-out sentence is held out, too, or the test would be too easy.
        copies.append(replace(sentence, words=words, tags=tags))
    return copies
