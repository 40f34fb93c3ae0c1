"""Real speech behind the same interface: espeak-ng says it, a room blurs it, pocketsphinx hears it.

Much slower than the channel; it is there to check that the channel's errors are like those of a
real recogniser. Needs the program `espeak-ng` and the extra `speech` (package `pocketsphinx`).
"""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from assistant.audio.channel import endpoint_of
from assistant.audio.language_model import MARKS, LanguageModel, train, write_arpa
from assistant.audio.lexicon import pronunciations
from assistant.audio.phones import to_arpabet
from assistant.contract import Context, Sound, Transcript

Floats = NDArray[np.float64]

RATE = 16_000
# espeak-ng has no Indian or Australian English: the nearest it has, moved in pitch.
VOICES = {"en-US": "en-us", "en-GB": "en-gb", "en-AU": "en-gb-x-rp", "en-IN": "en-gb-scotland"}


class SpeechUnavailable(RuntimeError):
    """A program or package that real speech needs is missing."""


def synthesise(sound: Sound, pitch: int = 50) -> Floats:
    """The words of `sound` in its accent and at its rate, 16 kHz, loudest sample 1.

    Raises
    ------
    SpeechUnavailable: espeak-ng is not installed.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise SpeechUnavailable(
            "Real speech needs the program espeak-ng. Hint: apt-get install espeak-ng"
        )
    speed = int(np.clip(60.0 * sound.rate, 110, 260))
    command = [
        program, "--stdout", "-v", VOICES[sound.accent], "-s", str(speed), "-p", str(pitch),
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
        try:
            sphinx = import_module("pocketsphinx")
        except ImportError as error:
            raise SpeechUnavailable(
                "Real speech needs the package pocketsphinx. Hint: pip install 'faultline[speech]'"
            ) from error
        self.version = version
        self.listed = listed
        self.sharpness = sharpness
        with tempfile.TemporaryDirectory() as folder:
            arpa, words = Path(folder, "lm.arpa"), Path(folder, "words.dict")
            with arpa.open("w") as file:
                write_arpa(model, file)
            words.write_text("\n".join(_dictionary(model)) + "\n")
            self._decoder: Any = sphinx.Decoder(
                hmm=str(Path(sphinx.get_model_path()) / "en-us" / "en-us"),
                lm=str(arpa),
                dict=str(words),
                loglevel="FATAL",
            )

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Transcript:
        clean = synthesise(sound, pitch=int(rng.integers(30, 71)))
        audio = in_room(clean, sound, rng)
        endpoint = endpoint_of(sound, rng, prompted=bool(context.prompt))
        decoder = self._decoder
        decoder.start_utt()
        decoder.process_raw((audio * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        scores = self._n_best()
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
            signals["words"] = float(len(hypotheses[0][0].split()))
            signals["entropy"] = round(
                float(-(shares * np.log(np.maximum(shares, 1e-12))).sum()), 4
            )
            signals["acoustic_score"] = round(float(values.max()) / max(len(audio) / 160, 1.0), 4)
        return Transcript(
            hypotheses=hypotheses,
            audio_ms=round(1000.0 * seconds, 1),
            endpoint=endpoint,
            latency_ms=round(float((80.0 + 60.0 * seconds) * np.exp(rng.normal(0.0, 0.2))), 1),
            signals=signals,
        )

    def _n_best(self, most: int = 40) -> dict[str, float]:
        """Text → log likelihood of its best path; the decoder's own choice is the last."""
        best = self._decoder.hyp()
        if best is None or not best.hypstr.strip():
            return {}
        found: dict[str, float] = {}
        for _, other in zip(range(most), self._decoder.nbest() or (), strict=False):
            if other is not None and other.hypstr.strip() and other.score > 0.0:
                # The decoder keeps its logarithms divided by 1024 and gives out their exponential.
                found.setdefault(other.hypstr, 1024.0 * math.log(other.score))
        # The best path need not be in the list, which is searched otherwise.
        top = max(found.values(), default=0.0)
        found.pop(best.hypstr, None)
        found[best.hypstr] = top
        return found


def build_spoken_recogniser(
    sentences: Iterable[Sequence[str]], vocabulary: Iterable[str] = (), **settings: Any
) -> SpokenRecogniser:
    """Like `build_recogniser`, for real speech."""
    return SpokenRecogniser(train(sentences, vocabulary), **settings)


def spoken_turns(
    recogniser: SpokenRecogniser, requests: Iterable[tuple[Sound, Context]], seed: int
) -> list[tuple[str, tuple[tuple[str, float], ...]]]:
    """True words and n-best list of every request, as `statistics.measure` takes them."""
    return [
        (
            " ".join(sound.words),
            recogniser(sound, context, np.random.default_rng([seed, i])).hypotheses,
        )
        for i, (sound, context) in enumerate(requests)
    ]


def _dictionary(model: LanguageModel) -> list[str]:
    """Lines of a pronunciation dictionary."""
    lines = []
    for word in model.words:
        if word in MARKS:
            continue
        for n, phones in enumerate(pronunciations(word), 1):
            head = word if n == 1 else f"{word}({n})"
            lines.append(f"{head} {to_arpabet(phones)}")
    return lines
