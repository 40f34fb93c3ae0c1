"""Real speech behind the interface of the ASR stage: espeak-ng, a simulated room, pocketsphinx.

It is much slower than the channel and serves to check that the channel's errors resemble those of a
real recogniser. Needs the program `espeak-ng` and the extra `demo`:

    write_demo("spoken", turns=2000, setup=Setup(adapt=RealSpeech()))
"""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import tempfile
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from assistant.asr.channel import endpoint_of
from assistant.asr.language_model import MARKS, LanguageModel
from assistant.asr.lexicon import pronunciations, spoken
from assistant.asr.phones import SYMBOLS
from assistant.asr.recogniser import Recogniser
from assistant.optional import optional
from assistant.stages import (
    Context,
    Sound,
    Stages,
    Transcript,
)
from data.errors import NotInstalled, UsageError

Floats = NDArray[np.float64]

RATE = 16_000
# espeak-ng has no Indian or Australian English; these are the nearest voices.
VOICES = {"en-US": "en-us", "en-GB": "en-gb", "en-AU": "en-gb-x-rp", "en-IN": "en-gb-scotland"}
# Locales whose own pronunciations are in the decoder's dictionary too; the voice used for en-IN
# has nothing of that accent.
ACCENTS = ("en-GB", "en-AU")
_NAMES = {symbol: name for name, symbol in SYMBOLS.items()}


def _espeak() -> str:
    """Path of the program.

    Raises
    ------
    NotInstalled: it is missing.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise NotInstalled(
            "Real speech needs the program espeak-ng; install it with: apt-get install espeak-ng"
        )
    return program


def _pocketsphinx() -> Any:
    return optional("pocketsphinx", "pocketsphinx", "Real speech")


def synthesise(sound: Sound, pitch: int = 50) -> Floats:
    """The words of `sound` in its accent and at its rate, as 16 kHz samples with a peak of 1.

    Raises
    ------
    NotInstalled: espeak-ng is missing.
    """
    if not sound.words:
        return np.zeros(RATE // 10)
    speed = int(np.clip(60.0 * sound.rate, 110, 260))
    command = [
        _espeak(), "--stdout", "-v", VOICES[sound.accent], "-s", str(speed), "-p", str(pitch),
        " ".join(sound.words),
    ]  # fmt: skip
    process = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(process.stdout)) as file:
        rate = file.getframerate()
        # In a file written to a pipe, the header does not know the length.
        samples = np.frombuffer(process.stdout[44:], np.int16).astype(float)
    samples = resample_poly(samples, RATE, rate)
    peak = max(float(np.abs(samples).max(initial=0.0)), 1.0)
    return np.asarray(samples / peak, dtype=np.float64)


def in_room(clean: Floats, sound: Sound, rng: np.random.Generator) -> Floats:
    """The microphone's signal: `clean` with the room's echo, and noise at the sound's SNR."""
    reverberated = clean
    if sound.far_field:
        # The direct sound, then noise that decays within a third of a second.
        length = int(0.3 * RATE)
        echo = rng.normal(size=length) * np.exp(-np.arange(length) / (0.06 * RATE))
        echo *= 0.015 * sound.distance_m / max(float(np.abs(echo).max()), 1e-9)
        echo[0] = 1.0
        reverberated = fftconvolve(clean, echo)[: len(clean)]
    padded = np.pad(reverberated, (int(0.25 * RATE), int(0.35 * RATE)))
    # Household noise has mostly low frequencies: smoothed white noise.
    noise = np.convolve(rng.normal(size=len(padded)), np.ones(12) / 12.0, mode="same")
    power = float((reverberated**2).mean()) if len(reverberated) else 1.0
    snr = sound.snr_db + 4.0 * sound.loudness
    noise *= np.sqrt(power / 10.0 ** (snr / 10.0) / max(float((noise**2).mean()), 1e-12))
    mixed = padded + noise
    return 0.3 * mixed / max(float(np.abs(mixed).max()), 1e-9)


class SpokenRecogniser:
    """An `AsrStage` for real sound, with the language model of the channel's recogniser."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        version: str = "sphinx-5.1",
        listed: int = 5,
        sharpness: float = 0.1,
    ) -> None:
        _pocketsphinx()
        self.version = version
        self.listed = listed
        self.sharpness = sharpness
        self._model = model
        self._decoders: dict[str, Any] = {}

    def _decoder(self, locale: str) -> Any:
        """The decoder with a locale's dictionary, built when it is first needed."""
        accent = locale if locale in ACCENTS else ""
        if accent not in self._decoders:
            self._decoders[accent] = self._new_decoder(accent)
        return self._decoders[accent]

    def _new_decoder(self, accent: str) -> Any:
        sphinx = _pocketsphinx()
        with tempfile.TemporaryDirectory() as folder:
            arpa, words = Path(folder, "lm.arpa"), Path(folder, "words.dict")
            with arpa.open("w") as file:
                write_arpa(self._model, file)
            words.write_text("\n".join(_dictionary(self._model, accent)) + "\n")
            return sphinx.Decoder(
                hmm=str(Path(sphinx.get_model_path()) / "en-us" / "en-us"),
                lm=str(arpa),
                dict=str(words),
                loglevel="FATAL",
            )

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Transcript:
        clean = synthesise(sound, pitch=int(rng.integers(30, 71)))
        audio = in_room(clean, sound, rng)
        endpoint = endpoint_of(sound, rng)
        decoder = self._decoder(context.locale)
        # Otherwise it would keep its adaptation to the channel from earlier utterances.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw((audio * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        scores = self._n_best(decoder)
        hypothesis = decoder.hyp()
        best = next(reversed(scores), "")
        seconds = len(audio) / RATE
        signals: dict[str, float] = {"snr_db": round(float(sound.snr_db + rng.normal(0, 2.0)), 2)}
        hypotheses: tuple[tuple[str, float], ...] = ()
        if scores:
            values = np.array(list(scores.values()), dtype=float)
            weights = np.exp(self.sharpness * (values - values.max()))
            shares = weights / weights.sum()
            ranked = sorted(
                zip(scores, shares.tolist(), strict=True),
                key=lambda pair: (-pair[1], pair[0] != best),
            )
            hypotheses = tuple((text, round(p, 4)) for text, p in ranked[: self.listed])
            words = hypotheses[0][0].split()
            phones = sum(len(pronunciations(word)[0]) for word in words)
            signals["words"] = float(len(words))
            signals["lm_score"] = round(self._model.score(words) / (len(words) + 1), 4)
            signals["acoustic_score"] = round(
                _log(hypothesis.score) / max(len(audio) / 160, 1.0), 4
            )
            signals["speech_rate"] = round(phones / seconds, 3)
            signals["entropy"] = round(
                float(-(shares * np.log(np.maximum(shares, 1e-12))).sum()), 4
            )
        return Transcript(
            hypotheses=hypotheses,
            audio_ms=round(1000.0 * seconds, 1),
            endpoint=endpoint,
            latency_ms=round(float((80.0 + 60.0 * seconds) * np.exp(rng.normal(0.0, 0.2))), 1),
            signals=signals,
        )

    def _n_best(self, decoder: Any, most: int = 40) -> dict[str, float]:
        """Text → log likelihood of its best path; the decoder's own best hypothesis comes last."""
        best = decoder.hyp()
        if best is None or not best.hypstr.strip():
            return {}
        scores: dict[str, float] = {}
        for _, other in zip(range(most), decoder.nbest() or (), strict=False):
            if other is not None and other.hypstr.strip() and other.score > 0.0:
                scores.setdefault(other.hypstr, _log(other.score))
        # The list comes from another search, which need not contain the best path.
        top = max(scores.values(), default=0.0)
        scores.pop(best.hypstr, None)
        scores[best.hypstr] = top
        return scores


class RealSpeech:
    """Real speech for a simulation: pass one as `adapt` of `assistant.demo.Setup`.

    It replaces every release of ASR by the same `SpokenRecogniser` with that release's language
    model. Each process builds its own when it is first needed.

    Raises
    ------
    NotInstalled: espeak-ng or pocketsphinx is missing.
    """

    def __init__(self, version: str = "asr-speech-1.0") -> None:
        # Fail now rather than after the training.
        _espeak()
        _pocketsphinx()
        self.version = version
        self._recogniser: tuple[LanguageModel, SpokenRecogniser] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"version": self.version, "_recogniser": None}

    def __call__(self, stages: Stages) -> Stages:
        if not isinstance(stages.asr, Recogniser):
            raise UsageError(
                f"Real speech needs the language model of the assistant's own recogniser; "
                f"{stages.asr.version} has none."
            )
        model = stages.asr.model
        if self._recogniser is None or self._recogniser[0] is not model:
            self._recogniser = model, SpokenRecogniser(model, version=self.version)
        return replace(stages, asr=self._recogniser[1])


def write_arpa(model: LanguageModel, file: TextIO) -> None:
    """Write `model` to `file` in the ARPA format, which other recognisers read."""
    ten = float(np.log(10.0))
    order = (model.contexts >= 0).sum(axis=1)
    state_of = np.repeat(np.arange(len(model.count)), model.count)
    by_context = {tuple(row): i for i, row in enumerate(model.contexts.tolist())}
    lines: list[list[str]] = [[], [], []]
    for number, word in enumerate(model.words):
        state = by_context.get((-1, number))
        weight = "" if state is None else f"\t{model.backoff[state] / ten:.4f}"
        lines[0].append(f"{model.unigram[number] / ten:.4f}\t{word}{weight}")
    entries = zip(state_of.tolist(), model.word.tolist(), (model.logp / ten).tolist(), strict=True)
    for state, number, logp in entries:
        context = [n for n in model.contexts[state].tolist() if n >= 0]
        text = " ".join(model.words[n] for n in (*context, number))
        longer = by_context.get((context[0], number)) if len(context) == 1 else None
        weight = "" if longer is None else f"\t{model.backoff[longer] / ten:.4f}"
        lines[order[state]].append(f"{logp:.4f}\t{text}{weight}")
    file.write("\\data\\\n")
    file.writelines(f"ngram {n}={len(rows)}\n" for n, rows in enumerate(lines, 1))
    for n, rows in enumerate(lines, 1):
        file.write(f"\n\\{n}-grams:\n" + "\n".join(rows) + "\n")
    file.write("\n\\end\\\n")


def _log(score: float) -> float:
    """The log likelihood: the decoder returns exp(log likelihood / 1024)."""
    return 1024.0 * math.log(max(score, 1e-300))


def _dictionary(model: LanguageModel, accent: str) -> list[str]:
    """Lines of a pronunciation dictionary: American, and that of `accent` if there is one."""
    lines = []
    for word in model.words:
        if word in MARKS:
            continue
        accented = spoken(word, accent) if accent else ()
        for n, phones in enumerate(dict.fromkeys((*accented, *pronunciations(word))), 1):
            head = word if n == 1 else f"{word}({n})"
            lines.append(f"{head} {_to_arpabet(phones)}")
    return lines


def _to_arpabet(phones: str) -> str:
    """``"he"`` as ``"HH EY"``, the notation of pronunciation dictionaries."""
    return " ".join(_NAMES[phone] for phone in phones)
