"""Real speech behind the same interface: espeak-ng says it, a room blurs it, pocketsphinx hears it.

Much slower than the channel; it is there to check that the channel's errors are like those of a
real recogniser. Needs the program `espeak-ng` and the extra `speech` (package `pocketsphinx`):

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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from assistant.asr.channel import endpoint_of
from assistant.asr.language_model import (
    MARKS,
    LanguageModel,
    write_arpa,
)
from assistant.asr.lexicon import pronunciations, spoken
from assistant.asr.phones import to_arpabet
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
# espeak-ng has no Indian or Australian English: the nearest it has, moved in pitch.
VOICES = {"en-US": "en-us", "en-GB": "en-gb", "en-AU": "en-gb-x-rp", "en-IN": "en-gb-scotland"}
# Locales whose own pronunciations are in the decoder's dictionary too; the voice that stands for
# en-IN has nothing of that accent.
ACCENTS = ("en-GB", "en-AU")


def _espeak() -> str:
    """Path of the program.

    Raises
    ------
    NotInstalled: there is none.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise NotInstalled(
            "Real speech needs the program espeak-ng; install it with: apt-get install espeak-ng"
        )
    return program


def _pocketsphinx() -> Any:
    return optional("pocketsphinx", "pocketsphinx", "Real speech", "speech")


def synthesise(sound: Sound, pitch: int = 50) -> Floats:
    """The words of `sound` in its accent and at its rate, 16 kHz, loudest sample 1.

    Raises
    ------
    NotInstalled: espeak-ng is not there.
    """
    if not sound.words:
        return np.zeros(RATE // 10)
    speed = int(np.clip(60.0 * sound.rate, 110, 260))
    command = [
        _espeak(), "--stdout", "-v", VOICES[sound.accent], "-s", str(speed), "-p", str(pitch),
        " ".join(sound.words),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
        # What is written to a pipe has no length in its header.
        samples = np.frombuffer(done.stdout[44:], np.int16).astype(float)
    samples = resample_poly(samples, RATE, rate)
    loudest = max(float(np.abs(samples).max(initial=0.0)), 1.0)
    return np.asarray(samples / loudest, dtype=np.float64)


def in_room(clean: Floats, sound: Sound, rng: np.random.Generator) -> Floats:
    """What the microphone gets: `clean` with the room's echo, and noise at the sound's SNR."""
    heard = clean
    if sound.far_field:
        # Direct sound, then noise that dies away within a third of a second.
        length = int(0.3 * RATE)
        echo = rng.normal(size=length) * np.exp(-np.arange(length) / (0.06 * RATE))
        echo *= 0.015 * sound.distance_m / max(float(np.abs(echo).max()), 1e-9)
        echo[0] = 1.0
        heard = fftconvolve(clean, echo)[: len(clean)]
    padded = np.pad(heard, (int(0.25 * RATE), int(0.35 * RATE)))
    # Household noise is mostly low: white noise, smoothed.
    noise = np.convolve(rng.normal(size=len(padded)), np.ones(12) / 12.0, mode="same")
    power = float((heard**2).mean()) if len(heard) else 1.0
    snr = sound.snr_db + 4.0 * sound.loudness
    noise *= np.sqrt(power / 10.0 ** (snr / 10.0) / max(float((noise**2).mean()), 1e-12))
    mixed = padded + noise
    return 0.3 * mixed / max(float(np.abs(mixed).max()), 1e-9)


class SpokenRecogniser:
    """An `AsrStage` that really listens. The same language model as the channel's recogniser."""

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
        """The decoder with a locale's dictionary, made when it is first needed."""
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
        # It would go on with what it learnt of the channel from the utterances before.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw((audio * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        scores = self._n_best(decoder)
        found = decoder.hyp()
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
            signals["acoustic_score"] = round(_log(found.score) / max(len(audio) / 160, 1.0), 4)
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
        """Text → log likelihood of its best path; the decoder's own choice is the last."""
        best = decoder.hyp()
        if best is None or not best.hypstr.strip():
            return {}
        found: dict[str, float] = {}
        for _, other in zip(range(most), decoder.nbest() or (), strict=False):
            if other is not None and other.hypstr.strip() and other.score > 0.0:
                found.setdefault(other.hypstr, _log(other.score))
        # The best path need not be in the list, which is searched otherwise.
        top = max(found.values(), default=0.0)
        found.pop(best.hypstr, None)
        found[best.hypstr] = top
        return found


class RealSpeech:
    """Has the assistant of a simulation hear real speech: the `adapt` of `assistant.demo.Setup`.

    Every release of ASR becomes one and the same `SpokenRecogniser`, with the language model that
    it had. Each process makes its own when it needs it.

    Raises
    ------
    NotInstalled: espeak-ng or pocketsphinx is not there.
    """

    def __init__(self, version: str = "asr-speech-1.0") -> None:
        # Now, rather than after the training.
        _espeak()
        _pocketsphinx()
        self.version = version
        self._made: tuple[LanguageModel, SpokenRecogniser] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"version": self.version, "_made": None}

    def __call__(self, stages: Stages) -> Stages:
        if not isinstance(stages.asr, Recogniser):
            raise UsageError(
                f"Real speech needs the language model of the assistant's own recogniser; "
                f"{stages.asr.version} has none."
            )
        model = stages.asr.model
        if self._made is None or self._made[0] is not model:
            self._made = model, SpokenRecogniser(model, version=self.version)
        return replace(stages, asr=self._made[1])


def _log(score: float) -> float:
    """The decoder keeps its logarithms divided by 1024 and gives out their exponential."""
    return 1024.0 * math.log(max(score, 1e-300))


def _dictionary(model: LanguageModel, accent: str) -> list[str]:
    """Lines of a pronunciation dictionary: American, and that of another accent if there is one."""
    lines = []
    for word in model.words:
        if word in MARKS:
            continue
        ways = spoken(word, accent) if accent else ()
        for n, phones in enumerate(dict.fromkeys((*ways, *pronunciations(word))), 1):
            head = word if n == 1 else f"{word}({n})"
            lines.append(f"{head} {to_arpabet(phones)}")
    return lines
