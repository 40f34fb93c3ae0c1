"""Real speech: heard, the same every time, in place of the channel; what is missing is named."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import assistant.releases
from assistant.asr.language_model import train
from assistant.asr.lexicon import pronunciations
from assistant.demo import Setup, simulate
from assistant.stages import (
    Context,
    Device,
    Sound,
    Stages,
    Transcript,
)
from benchmarks.asr.real_speech import (
    RealSpeech,
    SpokenRecogniser,
    in_room,
    synthesise,
)
from data.errors import NotInstalled, UsageError

DEVICE = Device("d1", "speaker", "kitchen", has_screen=False, far_field=True, near_television=False)
CONTEXT = Context(DEVICE, "en-US", datetime(2026, 3, 1, tzinfo=UTC))
SENTENCES = (
    "turn on the kitchen light", "what is the weather in london", "set a timer for ten minutes",
    "play the next song", "stop the music", "call my mother", "add milk to the shopping list",
)  # fmt: skip


def sound(text: str, snr_db: float = 25.0, accent: str = "en-US") -> Sound:
    return Sound(tuple(text.split()), "user", accent, snr_db, 2.6, 1.5, far_field=True)


@pytest.fixture(scope="module")
def speech() -> None:
    """What real speech needs is there."""
    missing = [] if shutil.which("espeak-ng") else ["the program espeak-ng"]
    missing += [] if find_spec("pocketsphinx") else ["the package pocketsphinx"]
    if missing:
        reason = f"real speech needs {' and '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def recogniser(speech: None) -> SpokenRecogniser:
    return SpokenRecogniser(train([sentence.split() for sentence in SENTENCES]))


def hear(recogniser: SpokenRecogniser, text: str, snr_db: float = 25.0) -> Transcript:
    return recogniser(sound(text, snr_db), CONTEXT, np.random.default_rng(len(text)))


def test_clear_speech_is_understood(recogniser: SpokenRecogniser) -> None:
    right = sum(hear(recogniser, text).text == text for text in SENTENCES)
    assert right >= len(SENTENCES) - 1


def test_what_was_heard_before_changes_nothing(recogniser: SpokenRecogniser) -> None:
    first = [hear(recogniser, text, snr_db=8.0) for text in SENTENCES]
    again = [hear(recogniser, text, snr_db=8.0) for text in reversed(SENTENCES)]
    assert first == again[::-1]


def test_hypotheses_are_ranked_and_signals_are_as_the_channels(
    recogniser: SpokenRecogniser,
) -> None:
    made = hear(recogniser, SENTENCES[1], snr_db=6.0)
    shares = [p for _, p in made.hypotheses]
    assert shares == sorted(shares, reverse=True)
    assert 0.99 < sum(shares) + (len(shares) == 5) <= 2.001
    assert made.signals["words"] == len(made.text.split())
    assert 5.0 < made.signals["speech_rate"] < 25.0
    assert -20.0 < made.signals["acoustic_score"] < 0.0
    assert made.signals["lm_score"] < 0.0


def test_silence_is_heard_as_silence_or_noise(recogniser: SpokenRecogniser) -> None:
    made = recogniser(sound(""), CONTEXT, np.random.default_rng(0))
    assert len(made.text.split()) <= 2


@pytest.mark.parametrize("accent", ["en-US", "en-GB", "en-IN", "en-AU"])
def test_every_accent_has_a_voice(speech: None, accent: str) -> None:
    spoken = synthesise(sound("what is the weather", accent=accent))
    assert 0.5 < len(spoken) / 16_000 < 4.0
    assert np.abs(spoken).max() == pytest.approx(1.0)


def test_a_loud_room_leaves_less_of_the_voice(speech: None) -> None:
    clean = synthesise(sound("what is the weather"))
    pause = slice(0, 3000)
    noise = [
        float(in_room(clean, sound("x", snr_db), np.random.default_rng(0))[pause].std())
        for snr_db in (25.0, 5.0)
    ]
    assert noise[1] > 3.0 * noise[0]


def test_a_simulation_hears_real_speech(speech: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Less training than usual: with one process, it happens in this one.
    monkeypatch.setattr(assistant.releases, "NLU_SENTENCES", 1500)
    monkeypatch.setattr(assistant.releases, "ASR_SENTENCES", 3000)
    setup = Setup(seed=4, days=2, homes=20, adapt=RealSpeech())
    turns = [turn for batch in simulate(6, setup, processes=1) for turn in batch]
    assert len(turns) == 6
    for turn in turns:
        assert turn.record["versions"]["asr"] == "asr-speech-1.0"
        # The channel's decoder counts its arcs; this one does not.
        assert "arcs" not in turn.record["asr"]["signals"]
    heard = [turn.record["asr"]["hypotheses"] for turn in turns]
    assert sum(bool(each and each[0]["text"]) for each in heard) >= 4


def test_it_travels_between_processes_without_its_decoder(speech: None) -> None:
    adapt = RealSpeech("asr-speech-2.0")
    assert pickle.loads(pickle.dumps(adapt)).version == "asr-speech-2.0"
    assert len(pickle.dumps(adapt)) < 500


def test_without_espeak_it_says_what_to_install(
    speech: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    expected = "needs the program espeak-ng; install it with: apt-get install espeak-ng$"
    with pytest.raises(NotInstalled, match=expected):
        RealSpeech()
    with pytest.raises(NotInstalled, match=expected):
        synthesise(sound("stop"))


def test_without_pocketsphinx_it_says_what_to_install(
    speech: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pronunciations("stop")
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    expected = (
        r"needs the package pocketsphinx; install it with: pip install 'faultline-voice\[demo\]'$"
    )
    with pytest.raises(NotInstalled, match=expected):
        RealSpeech()
    with pytest.raises(NotInstalled, match=expected):
        SpokenRecogniser(train([("stop",)]))


def test_a_recogniser_of_ones_own_has_no_language_model_to_take(
    speech: None, recogniser: SpokenRecogniser
) -> None:
    other: Any = None
    stages = Stages(other, recogniser, other, other, other, other)
    with pytest.raises(UsageError, match=r"sphinx-5\.1 has none"):
        RealSpeech()(stages)
