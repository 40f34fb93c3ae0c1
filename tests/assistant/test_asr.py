"""Contracts of the audio part: lexicon, language model, recogniser, wake, statistics, speech."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from assistant.asr.language_model import END, LanguageModel, train
from assistant.asr.lexicon import (
    known,
    letter_to_sound,
    pronunciations,
    spoken,
)
from assistant.asr.recogniser import (
    Recogniser,
    build_recogniser,
    release,
)
from assistant.asr.training_text import text_for_asr
from assistant.background import overheard
from assistant.language.wording import examples
from assistant.stages import (
    Context,
    Device,
    Entity,
    Sound,
)
from assistant.tts import Tts
from assistant.wake import Wake
from assistant.world import build_catalogue
from benchmarks.asr.error_statistics import (
    Errors,
    Turn,
    measure,
)
from benchmarks.asr.real_speech import write_arpa

DEVICE = Device("d1", "speaker", "kitchen", has_screen=False, far_field=True, near_television=False)
CONTEXT = Context(DEVICE, "en-US", datetime(2026, 3, 1, tzinfo=UTC))


def sound(text: str, snr_db: float = 18.0, accent: str = "en-US", metres: float = 2.0) -> Sound:
    return Sound(tuple(text.split()), "user", accent, snr_db, 2.8, metres, far_field=True)


@pytest.fixture(scope="module")
def requests() -> list[str]:
    found = examples(build_catalogue(5), np.random.default_rng(2), 500)
    return [utterance.text for utterance, _ in found]


def trained_on(sentences: int) -> Recogniser:
    catalogue = build_catalogue(5)
    rng = np.random.default_rng(1)
    text = text_for_asr(examples(catalogue, rng, sentences), catalogue.entities, rng)
    return build_recogniser(text)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return trained_on(4000)


@pytest.fixture(scope="module")
def model(recogniser: Recogniser) -> LanguageModel:
    return recogniser.model


def errors(
    asr: Recogniser, texts: list[str], snr_db: float = 18.0, accent: str = "en-US"
) -> Errors:
    context = Context(DEVICE, accent, CONTEXT.moment)
    heard: list[Turn] = []
    for i, text in enumerate(texts):
        noise = snr_db + 5.0 * float(np.random.default_rng([3, i]).normal())
        made = asr(sound(text, noise, accent), context, np.random.default_rng([4, i]))
        heard.append((text, made.hypotheses))
    return measure(heard)


def test_every_accent_has_a_sound_for_every_word() -> None:
    for word in ("car", "water", "thursday", "o'clock", "zyxwv", "a"):
        for locale in ("en-US", "en-GB", "en-IN", "en-AU"):
            assert all(spoken(word, locale))
    assert spoken("car", "en-GB") != spoken("car", "en-US")


def test_letters_give_sounds_where_the_dictionary_has_none() -> None:
    assert pronunciations("blick") == (letter_to_sound("blick"),) == ("blIk",)


def test_pronunciations_come_most_usual_first() -> None:
    assert pronunciations("tomato") == ("tAmeto", "tAmato")
    assert pronunciations("the")[0] == "DA"
    # No word of its own: the other pronunciations of one, and what sorts beside it.
    assert not known("tomato(2)x")
    assert not known("tomat")


@pytest.mark.parametrize(
    ("module", "package", "user"),
    [
        ("numba", "numba", "assistant.asr.search"),
        ("pycrfsuite", "python-crfsuite", "assistant.nlu.slot_tagger"),
        ("pocketsphinx", "pocketsphinx", "assistant.asr.recogniser"),
    ],
)
def test_a_missing_package_is_one_sentence(module: str, package: str, user: str) -> None:
    # In a process of its own: here, everything is imported already.
    program = f"""
import sys
sys.modules[{module!r}] = None
from data.errors import NotInstalled
try:
    from {user} import *
    from assistant.asr.recogniser import build_recogniser
    build_recogniser([("play", "music")])
except NotInstalled as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == (
        f"The assistant needs the package {package}; install it with: "
        "pip install 'faultline-voice[demo]'\n"
    )


def test_each_state_of_the_language_model_is_a_distribution(model: LanguageModel) -> None:
    for state in (0, model.start, len(model.count) - 1, len(model.count) // 2):
        total = sum(np.exp(model.step(state, word)[0]) for word in range(1, len(model.words)))
        assert total == pytest.approx(1.0, abs=1e-6)


def test_the_arpa_file_says_what_the_model_says() -> None:
    model = train([["play", "music"], ["play", "jazz"], ["stop"]])
    file = io.StringIO()
    write_arpa(model, file)
    lines = file.getvalue().splitlines()
    logp = model.step(model.start, model.numbers["play"])[0] / np.log(10.0)
    assert any(line.startswith(f"{logp:.4f}\t<s> play") for line in lines)
    assert model.step(model.start, END)[0] < logp


@pytest.mark.parametrize("writable", [True, False])
def test_compiling_needs_no_place_to_write(tmp_path: Path, writable: bool) -> None:
    module = "from assistant.asr.compiled import compiled\n\n@compiled\ndef add(a, b):\n"
    (tmp_path / "sums.py").write_text(f"{module}    return a + b\n")
    if not writable:
        # Not even root can make a folder of it.
        (tmp_path / "__pycache__").touch()
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    run = subprocess.run(
        [sys.executable, "-c", "import sums; print(sums.add(1, 2))"],
        env={**os.environ, **nowhere, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "3\n"
    assert len(list(tmp_path.glob("__pycache__/*.nbi"))) == writable


def test_a_perfect_channel_is_heard_almost_perfectly(requests: list[str]) -> None:
    # As much text as the simulation has: names that the language model never saw are heard as more
    # common ones. What sounds alike is then the only thing left to be mistaken.
    perfect = release(trained_on(25_000), "perfect", level=0.0)
    assert errors(perfect, requests, snr_db=25.0).word_error < 0.015


def test_the_same_seed_hears_the_same(recogniser: Recogniser) -> None:
    heard = [
        recogniser(sound("what is the weather", 3.0), CONTEXT, np.random.default_rng(5))
        for _ in "ab"
    ]
    assert heard[0] == heard[1]


def test_hypotheses_are_ranked_distinct_and_share_one_probability(
    recogniser: Recogniser, requests: list[str]
) -> None:
    for i, text in enumerate(requests[:50]):
        made = recogniser(sound(text, 8.0), CONTEXT, np.random.default_rng(i)).hypotheses
        shares = [p for _, p in made]
        assert len({words for words, _ in made}) == len(made) <= 5
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.001


def test_nothing_heard_is_no_hypothesis(recogniser: Recogniser) -> None:
    assert recogniser(sound(""), CONTEXT, np.random.default_rng(0)).text == ""


def test_noise_makes_errors(recogniser: Recogniser, requests: list[str]) -> None:
    quiet, loud = (errors(recogniser, requests[:200], snr_db=snr) for snr in (25.0, 5.0))
    assert loud.word_error > 2.0 * quiet.word_error


def test_a_release_may_lose_its_far_field_for_one_accent(
    recogniser: Recogniser, requests: list[str]
) -> None:
    worse = release(recogniser, "asr-4.2", far_field={"en-GB": 0.5})
    for accent, grows in (("en-GB", True), ("en-US", False)):
        before = errors(recogniser, requests[:200], accent=accent).word_error
        after = errors(worse, requests[:200], accent=accent).word_error
        assert (after > 1.3 * before) if grows else (after == before)


def test_names_of_the_household_are_likelier_in_it(recogniser: Recogniser) -> None:
    name = recogniser.model.words[len(recogniser.model.words) // 2]
    at_home = Context(DEVICE, "en-US", CONTEXT.moment, (Entity("x", "contact", name),))
    hits = [
        sum(
            name in recogniser(sound(f"call {name}", 6.0), context, np.random.default_rng(i)).text
            for i in range(60)
        )
        for context in (CONTEXT, at_home)
    ]
    assert hits[1] >= hits[0]


def test_a_television_wakes_seldom_and_a_bad_model_often() -> None:
    rng = np.random.default_rng(0)
    sounds = [overheard("television", "en-US", rng) for _ in range(800)]

    def fires(wake: Wake) -> float:
        made = np.random.default_rng(1)
        return float(np.mean([wake(each, CONTEXT, made).fired for each in sounds]))

    users = np.mean([Wake()(sound("stop"), CONTEXT, rng).fired for _ in range(500)])
    assert fires(Wake()) + 0.2 < fires(Wake(television_bias=1.0)) < users + 0.2
    assert users > 0.95


def test_a_loudspeaker_sounds_like_a_person_now_and_then() -> None:
    rng = np.random.default_rng(2)
    wake = Wake()

    def heard(sounds: list[Sound]) -> tuple[np.ndarray, np.ndarray]:
        all_of_it = [wake(each, CONTEXT, rng) for each in sounds]
        return np.array([h.signals["live"] for h in all_of_it]), np.array(
            [h.score for h in all_of_it]
        )

    live, score = heard([sound("stop")] * 1500)
    tv_live, tv_score = heard([overheard("television", "en-US", rng) for _ in range(1500)])
    # Overlapping, as evidence of a replay is in rooms: 1.5 to 2 deviations apart.
    apart = (live.mean() - tv_live.mean()) / np.sqrt((live.var() + tv_live.var()) / 2)
    assert 1.4 < apart < 2.0
    # The score has heard the same: where a television seems live it is higher.
    assert np.corrcoef(tv_live, tv_score)[0, 1] > 0.2
    assert score.mean() > tv_score.mean()


def test_speech_starts_within_a_second() -> None:
    times = [Tts()("here is some music", np.random.default_rng(i)) for i in range(200)]
    assert 50.0 < np.median(times) < 300.0
    assert max(times) < 1500.0
    assert Tts()("", np.random.default_rng(0)) == 0.0


def test_errors_are_counted_by_kind() -> None:
    truth = "please turn on the light in the kitchen"
    heard = [("turn on the right in the big kitchen", 0.4), (truth, 0.3)]
    found = measure([(truth, heard)])
    assert found.word_error == 0.375
    assert (found.substituted, found.deleted, found.inserted) == pytest.approx((1 / 3,) * 3)
    assert found.oracle == 0.0
    assert found.gain == 1.0
    with pytest.raises(ValueError, match="no turn with a transcript"):
        measure([("", [])])


def logged(path: Path) -> Errors:
    with gzip.open(path) as file:
        turns = [json.loads(line) for line in file]
    return measure(
        [
            (
                turn["gold"]["transcript"],
                [(h["text"], h.get("confidence")) for h in turn["asr"].get("hypotheses") or []],
            )
            for turn in turns
            if turn["gold"].get("transcript") and turn["gold"].get("addressed", True)
        ]
    )


def test_errors_have_the_shape_of_real_logs(
    recogniser: Recogniser, requests: list[str], corpora: Path
) -> None:
    # The amount is a setting; what the errors are made of, and what confidence knows of them, is
    # compared. A band is what the two corpora span, and some more on either side.
    ours = errors(recogniser, requests)
    real = [logged(corpora / f"{name}.jsonl.gz") for name in ("dstc1", "dstc2")]
    for figure, slack in (
        ("substituted", 0.15), ("deleted", 0.15), ("inserted", 0.08), ("gain", 0.12), ("auc", 0.12),
    ):  # fmt: skip
        span = [getattr(each, figure) for each in real]
        value = getattr(ours, figure)
        assert min(span) - slack <= value <= max(span) + slack, (figure, value, span)
    assert 0.05 < ours.word_error < 0.16
    wrong = [bad for _, share, bad in ours.bands if share > 0.03]
    assert wrong == sorted(wrong, reverse=True)
