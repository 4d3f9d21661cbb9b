"""Augmentation: each step does what its numbers say, by oracles; the same draw gives the same bits; off is off."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from xlsr.audio import load_audio
from xlsr.data.augment import (
    Augmenter,
    AugmentRecipe,
    active_level,
    add_noise,
    change_speed,
    cut,
    overload,
    reverberate,
)
from xlsr.errors import ManifestError, RecipeError


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def room(seconds: float = 0.5, direct: int = 100, reflections: float = 0.3) -> np.ndarray:
    """A direct sound of 1 and a tail that decays by 60 dB."""
    taps = round(16_000 * seconds)
    response = reflections * np.random.default_rng(3).uniform(-1, 1, taps) * 10 ** (-3 * np.arange(taps) / taps)
    response[:direct] = 0
    response[direct] = 1
    return response.astype(np.float32)


@pytest.fixture(scope="module")
def speech(repository: Path) -> np.ndarray:
    return load_audio(repository / "examples" / "digits.wav")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Two noises, one shorter than an utterance, and two rooms."""
    folder = tmp_path_factory.mktemp("clips")
    sounds = {"noise": [noise(8_000, 1), noise(100_000, 2)], "rir": [room(0.3), room(0.8, 20)]}
    rows = []
    for kind, samples in sounds.items():
        for number, sound in enumerate(samples):
            soundfile.write(folder / f"{kind}{number}.wav", sound, 16_000, subtype="FLOAT")
            rows.append({"audio": f"{kind}{number}.wav", "kind": kind, "duration": len(sound) / 16_000})
    (folder / "clips.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "clips.jsonl"


def everything(clips: Path, probability: float) -> AugmentRecipe:
    probabilities = {
        field.name: probability for field in dataclasses.fields(AugmentRecipe) if field.name.endswith("_prob")
    }
    return AugmentRecipe(**probabilities, noise=clips, rir=clips, speed=(0.8, 1.25))


# --- speed


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.95731, 1.0, 1.1, 2.0])
def test_speed_multiplies_the_pitch_and_divides_the_length(factor: float) -> None:
    sine = np.sin(2 * np.pi * 1000 / 16_000 * np.arange(32_000)).astype(np.float32)
    faster = change_speed(sine, factor)
    assert faster.shape == (round(32_000 / factor),)
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(len(faster)), 1 << 20))
    assert np.argmax(spectrum) * 16_000 / (1 << 20) == pytest.approx(1000 * factor, abs=0.05)
    # The very sine, away from the ends: soxr's HQ is exact to 20 bits.
    wanted = np.sin(2 * np.pi * 1000 * factor / 16_000 * np.arange(len(faster)))
    np.testing.assert_allclose(faster[500:-500], wanted[500:-500], atol=1e-4)


@given(st.integers(400, 20_000), st.floats(0.5, 2.0), st.floats(0.0, 1.0))
def test_lengths_lie_between_what_the_recipe_promises(samples: int, low: float, place: float) -> None:
    recipe = AugmentRecipe(speed_prob=0.5, speed=(low, 2.0))
    found = len(change_speed(noise(samples), low + place * (2.0 - low)))
    shortest, longest = (f(samples / 16_000) * 16_000 for f in (recipe.shortest_seconds, recipe.longest_seconds))
    # Rounded to whole samples; 1e-6 for the division by 16,000 and back.
    assert shortest - 0.5 - 1e-6 <= found <= longest + 0.5 + 1e-6


def test_lengths_are_promised_only_where_speed_changes() -> None:
    assert AugmentRecipe().shortest_seconds(3) == AugmentRecipe().longest_seconds(3) == 3
    recipe = AugmentRecipe(speed_prob=0.1, speed=(0.8, 1.25))
    assert (recipe.shortest_seconds(10), recipe.longest_seconds(10)) == (8, 12.5)
    faster = AugmentRecipe(speed_prob=0.1, speed=(1.1, 1.25))  # some stay as they are
    assert faster.longest_seconds(10) == 10


# --- rooms


def test_a_unit_impulse_is_the_identity(speech) -> None:
    for delay in (0, 50):
        impulse = np.zeros(200, np.float32)
        impulse[delay] = 0.7
        np.testing.assert_allclose(reverberate(speech, impulse), speech, atol=1e-6)


def test_a_room_keeps_energy_and_length(speech) -> None:
    wet = reverberate(speech, room())
    assert wet.shape == speech.shape
    assert wet.dtype == np.float32
    assert np.sum(wet.astype(float) ** 2) == pytest.approx(np.sum(speech.astype(float) ** 2), rel=1e-4)
    assert np.corrcoef(wet, speech)[0, 1] < 0.99


def test_a_room_is_the_convolution_with_its_response() -> None:
    dry, response = noise(4_000), room(0.1)
    wanted = np.convolve(dry, response)[100:4_100]
    wanted *= np.sqrt(np.sum(dry**2) / np.sum(wanted**2))
    np.testing.assert_allclose(reverberate(dry, response), wanted, atol=1e-5)


def delay_samples(response: np.ndarray) -> int:
    """Where white noise through a room correlates most with itself: at 0 where time is kept."""
    dry = noise(64_000)
    wet = reverberate(dry, response)
    correlation = np.fft.irfft(np.fft.rfft(wet, 1 << 17) * np.conj(np.fft.rfft(dry, 1 << 17)))
    peak = int(np.argmax(np.abs(correlation)))
    return peak if peak < 1 << 16 else peak - (1 << 17)


@pytest.mark.parametrize("direct", [0, 1, 100, 3_000])
def test_the_direct_sound_stays_where_it_was(direct: int) -> None:
    assert delay_samples(room(direct=direct)) == 0


def test_a_reflection_louder_than_the_direct_sound_does_not_move_time() -> None:
    response = room(direct=200)
    response[700] = 1.5
    assert delay_samples(response) == 500  # the correlation finds the reflection, 500 after the direct sound at 0


def test_rooms_of_the_corpora_keep_time(corpora) -> None:
    delays = [delay_samples(load_audio(path)) for path in sorted((corpora / "noise_rir" / "rir").glob("*.flac"))]
    assert len(delays) == 28
    # In three rooms a reflection is strongest, 9, 31 and 103 samples after the direct sound: below half a frame.
    assert sum(delay == 0 for delay in delays) == 25
    assert all(0 <= delay < 160 for delay in delays)


# --- noise


def reference_level(waveform: np.ndarray) -> float:
    """Frame by frame in float64: the mean power of the 20 ms frames at most 30 dB below the loudest."""
    powers = [np.mean(waveform[i : i + 320].astype(float) ** 2) for i in range(0, len(waveform) - 319, 320)]
    loud = [power for power in powers if 10 * np.log10(power / max(powers) + 1e-30) >= -30]
    return sum(loud) / len(loud)


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 12.5, 40.0])
def test_the_ratio_is_the_one_asked_for(speech, snr_db: float) -> None:
    added = add_noise(speech, noise(len(speech)), snr_db) - speech
    found = 10 * np.log10(reference_level(speech) / reference_level(added))
    assert found == pytest.approx(snr_db, abs=0.1)


def test_pauses_do_not_change_the_level_of_speech(speech) -> None:
    pauses = np.concatenate([speech, np.zeros(16_000 * 20, np.float32)])
    assert 10 * np.log10(active_level(pauses) / active_level(speech)) == pytest.approx(0, abs=0.1)
    loud = active_level(speech) / np.mean(speech.astype(float) ** 2)
    assert 1 < loud < 10
    assert active_level(noise(16_000)) == pytest.approx(0.01, rel=0.02)
    assert active_level(speech) == pytest.approx(reference_level(speech), rel=1e-4)


def test_silence_on_either_side_leaves_the_waveform(speech) -> None:
    silence = np.zeros_like(speech)
    assert add_noise(speech, silence, 10) is speech
    assert add_noise(silence, noise(len(speech)), 10) is silence


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_a_cut_is_consecutive_and_wraps_only_when_the_clip_is_shorter(clip: int, length: int, seed: int) -> None:
    found = cut(np.arange(clip, dtype=np.float32), length, np.random.default_rng(seed)).astype(int)
    assert found.shape == (length,)
    np.testing.assert_array_equal(found, (found[0] + np.arange(length)) % clip)
    if length <= clip:
        assert found[0] + length <= clip


def test_every_place_of_a_noise_is_cut() -> None:
    rng = np.random.default_rng(0)
    for length in (8, 20):
        starts = {int(cut(np.arange(10, dtype=np.float32), length, rng)[0]) for _ in range(300)}
        assert starts == set(range(3 if length == 8 else 10))


# --- gain and overload


def test_gain_is_in_decibels(speech) -> None:
    louder = Augmenter(AugmentRecipe(gain_prob=1, gain_db=(6, 6)))(speech, np.random.default_rng(0))
    np.testing.assert_allclose(louder, speech * 10 ** (6 / 20), rtol=1e-6)


@pytest.mark.parametrize("scale", [0.001, 1.0, 5.0])
def test_overload_cuts_off_at_full_scale(speech, scale: float) -> None:
    found = overload(scale * speech, 6.0)
    wanted = np.clip(speech / np.abs(speech).max() * 10 ** (6 / 20), -1, 1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert 0.0001 < np.mean(np.abs(found) == 1) < 0.2
    assert found.dtype == np.float32


def test_overloaded_silence_stays_silence() -> None:
    silence = np.zeros(1_000, np.float32)
    assert overload(silence, 12) is silence


# --- the whole


def test_every_step_is_off_by_default(speech) -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    before = speech.copy()
    assert Augmenter(AugmentRecipe())(speech, rng) is speech
    np.testing.assert_array_equal(speech, before)
    assert rng.bit_generator.state == state
    for field in dataclasses.fields(AugmentRecipe):
        if field.name.endswith("_prob"):
            assert field.default == 0


def test_a_manifest_is_not_opened_while_its_step_is_off() -> None:
    Augmenter(AugmentRecipe(noise=Path("none.jsonl"), rir=Path("none.jsonl"), gain_prob=1))


def test_the_same_state_gives_the_same_bits_in_any_process_and_order(clips, speech) -> None:
    recipe = everything(clips, 0.5)
    first = Augmenter(recipe)
    forwards = [first(speech, np.random.default_rng(seed)) for seed in range(12)]
    copy = pickle.loads(pickle.dumps(first))  # as a loading process gets it
    backwards = [copy(speech, np.random.default_rng(seed)) for seed in reversed(range(12))][::-1]
    for left, right in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(left, right)
    assert len({left.tobytes() for left in forwards}) > 8


def test_the_input_is_not_written_to(clips, speech) -> None:
    before = speech.copy()
    augment = Augmenter(everything(clips, 1.0))
    for seed in range(3):
        augment(speech, np.random.default_rng(seed))
    np.testing.assert_array_equal(speech, before)


@given(st.integers(0, 6_000), st.sampled_from([0.0, 1e-8, 1e-3, 1.0, 30.0]), st.integers(0, 2**32 - 1))
def test_any_waveform_comes_back_finite(clips, samples: int, scale: float, seed: int) -> None:
    waveform = (scale * np.random.default_rng(seed).uniform(-1, 1, samples)).astype(np.float32)
    recipe = everything(clips, 0.6)
    found = Augmenter(recipe)(waveform, np.random.default_rng(seed))
    assert found.dtype == np.float32
    assert found.ndim == 1
    assert np.isfinite(found).all()
    assert samples / 1.25 - 1 <= len(found) <= samples / 0.8 + 1
    still = Augmenter(dataclasses.replace(recipe, speed_prob=0.0))(waveform, np.random.default_rng(seed))
    assert still.shape == waveform.shape


def test_clipping_without_a_telephone_ends_within_full_scale(clips, speech) -> None:
    augment = Augmenter(dataclasses.replace(everything(clips, 1.0), telephone_prob=0.0))
    for seed in range(5):
        assert np.abs(augment(speech, np.random.default_rng(seed))).max() == 1


def test_probabilities_are_how_often_a_step_happens() -> None:
    augment = Augmenter(AugmentRecipe(gain_prob=0.3, gain_db=(-6, -6)))
    rng = np.random.default_rng(0)
    waveform = noise(100)
    happened = sum(augment(waveform, rng) is not waveform for _ in range(4_000))
    assert happened / 4_000 == pytest.approx(0.3, abs=0.03)  # four standard deviations


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"speed_prob": 1.5}, r"augment\.speed_prob is 1\.5; a probability from 0 to 1"),
        ({"gain_prob": float("nan")}, "a probability"),
        ({"speed": (1.1, 0.9)}, r"augment\.speed is \[1\.1, 0\.9\]; two numbers from 0\.5 to 2"),
        ({"speed": (0.0, 1.0)}, "from 0.5 to 2"),
        ({"snr_db": (0.0, 1000.0)}, r"augment\.snr_db .* from -100 to 100"),
        ({"clip_db": (-3.0, 1.0)}, "from 0 to 100"),
        ({"noise_prob": 0.1}, r"augment\.noise is None; a manifest is wanted, because noise_prob is above 0"),
        ({"rir_prob": 0.1}, r"augment\.rir is None"),
        ({"codecs": "mulaw gsm"}, r"augment\.codecs is 'mulaw gsm'; some of mulaw alaw .* are wanted"),
        ({"codecs": " "}, "some of mulaw"),
        ({"cache_mib": 0}, "at least 1 MiB"),
    ],
)
def test_values_that_make_no_sense_are_refused(values, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        AugmentRecipe(**values)


def test_a_codec_that_cannot_be_had_is_refused_before_the_run(monkeypatch) -> None:
    import av

    monkeypatch.setattr(av, "codecs_available", set())
    recipe = AugmentRecipe(telephone_prob=0.1, codecs="mulaw amr")
    with pytest.raises(RecipeError, match="this PyAV cannot encode amr"):
        Augmenter(recipe)
    Augmenter(dataclasses.replace(recipe, codecs="mulaw"))


def test_a_malformed_manifest_is_refused_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "noises.jsonl"
    path.write_text('{"audio": "a.wav", "duration": 1, "kind": "noise"}\n{"audio": ')
    with pytest.raises(ManifestError, match=r"noises\.jsonl line 2 is no JSON"):
        Augmenter(AugmentRecipe(noise_prob=0.5, noise=path))


def test_the_corpora_serve(corpora, speech) -> None:
    clips = corpora / "noise_rir" / "manifest.jsonl"
    augment = Augmenter(AugmentRecipe(noise_prob=1, noise=clips, rir_prob=1, rir=clips))
    for seed in range(5):
        harder = augment(speech, np.random.default_rng(seed))
        assert harder.shape == speech.shape
        assert np.isfinite(harder).all()
