"""Recordings longer than a window: the words that were said, when they were said, while the recording is being read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soundfile

from tests.levels import LevelEngine, level_recognizer, random_words, spoken, waveform_of
from xlsr.engines import silero
from xlsr.errors import AudioError, CheckpointError, MissingDependencyError
from xlsr.recognizer import Failure, Recognizer
from xlsr.recognizer import facade as module
from xlsr.results import Segment

WORDS = random_words(np.random.default_rng(0), 400)
IDS = spoken(WORDS, np.random.default_rng(1), pause_frames=(6, 100))
WAVEFORM = waveform_of(IDS)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch) -> None:
    monkeypatch.setattr(module, "WINDOW_FRAMES", 400)
    monkeypatch.setattr(module, "OVERLAP_FRAMES", 150)


@pytest.fixture
def recognizer() -> Recognizer:
    return level_recognizer(LevelEngine())


class ByLevel:
    """In Silero's place: whatever is not exactly silent is speech."""

    def detector(self):
        return lambda chunks: (np.abs(chunks).max(axis=1) > 0).astype(np.float32)


def test_a_long_recording_has_every_word_once_at_its_time(recognizer) -> None:
    found = recognizer.transcribe(WAVEFORM)
    assert [word.text for word in found.words] == WORDS
    assert found.text == " ".join(WORDS)
    assert found.duration == pytest.approx(len(IDS) * 0.02)
    said = [frame for frame, (before, id) in enumerate(pairwise(IDS), 1) if id > 4 and id != before]
    starts = [char.start for word in found.words for char in word.characters]
    early = np.array(said) * 0.02 + 0.0025 - starts  # a sound begins before its symbol
    assert early.min() > -1e-6
    assert early.max() < 0.2
    assert np.median(early) < 0.03
    assert [segment.id for segment in found.segments] == list(range(len(found.segments)))


def test_many_and_stream_give_the_segments_of_one(recognizer) -> None:
    whole = recognizer.transcribe(WAVEFORM)
    (many,) = recognizer.transcribe_many([WAVEFORM])
    assert many == whole
    assert tuple(recognizer.transcribe_stream(WAVEFORM)) == whole.segments


def test_segments_come_while_the_recording_is_read() -> None:
    engine = LevelEngine()
    calls = 0

    def counted(waveforms):
        nonlocal calls
        calls += 1
        return LevelEngine.log_probs(engine, waveforms)

    engine.log_probs = counted
    segments = level_recognizer(engine).transcribe_stream(np.tile(WAVEFORM, 3))
    next(segments)
    first = calls
    assert len(list(segments)) > 20
    assert first < calls / 4


def test_progress_tells_the_segments_of_long_recordings_before_their_transcript(recognizer) -> None:
    told: list[tuple[str, Segment]] = []
    results = recognizer.transcribe_many(
        [WAVEFORM[:16_000], WAVEFORM], timestamps="segment", progress=lambda name, segment: told.append((name, segment))
    )
    next(results)
    assert told == []  # the first fits one window
    transcript = next(results)
    assert tuple(segment for _, segment in told) == transcript.segments
    assert {name for name, _ in told} == {"<array>"}


@pytest.mark.parametrize("level", ["none", "segment", "word", "char"])
def test_times_go_as_deep_as_asked(recognizer, level) -> None:
    found = recognizer.transcribe(WAVEFORM, timestamps=level)
    assert found.text == " ".join(WORDS)
    assert bool(found.segments) == (level != "none")
    assert bool(found.words) == (level in ("word", "char"))


def test_with_vad_silence_is_passed_over_and_times_stay() -> None:
    engine = LevelEngine()
    recognizer = level_recognizer(engine)
    gap = np.zeros(20 * 16_000, np.float32)
    waveform = np.concatenate([gap, WAVEFORM, gap, WAVEFORM, gap])
    plain = recognizer.transcribe(waveform).to_dict()
    heard: list[int] = []
    engine.log_probs = lambda waveforms: heard.extend(map(len, waveforms)) or LevelEngine.log_probs(engine, waveforms)
    recognizer._silero = ByLevel()
    found = recognizer.transcribe(waveform, vad=True).to_dict()
    assert [segment["text"] for segment in found["segments"]] == [segment["text"] for segment in plain["segments"]]
    times = [[word["start"] for part in one["segments"] for word in part["words"]] for one in (found, plain)]
    np.testing.assert_allclose(*times, atol=0.15)  # how far a sound goes on depends on the silence around it
    assert sum(heard) < 1.7 * 2 * len(WAVEFORM)  # neighbours share 150 of 400 frames
    (many,) = recognizer.transcribe_many([waveform], vad=True)
    assert many.to_dict() == found
    assert [segment.text for segment in recognizer.transcribe_stream(waveform, vad=True)] == [
        segment["text"] for segment in plain["segments"]
    ]


def test_where_nothing_is_spoken_vad_gives_an_empty_text_and_the_duration(recognizer) -> None:
    recognizer._silero = ByLevel()
    silence = np.zeros(5 * 16_000, np.float32)
    for found in (recognizer.transcribe(silence, vad=True), *recognizer.transcribe_many([silence], vad=True)):
        assert (found.text, found.segments, found.duration) == ("", (), 4.98)


def test_a_missing_detector_is_said_before_anything_is_read(recognizer, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(silero, "find_spec", lambda name: None)
    for run in (recognizer.transcribe, lambda path, vad: list(recognizer.transcribe_many([path], vad=vad))):
        with pytest.raises(MissingDependencyError):
            run(WAVEFORM, vad=True)


def test_a_fault_in_the_middle_keeps_what_was_said_before(recognizer, tmp_path) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, WAVEFORM, 16_000, subtype="FLOAT")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    segments = []
    with pytest.raises(AudioError, match=r"cut\.wav"):
        segments.extend(recognizer.transcribe_stream(path))
    (failure,) = recognizer.transcribe_many([path])
    assert isinstance(failure, Failure)
    texts = [word.text for segment in segments for word in segment.words]
    assert texts == WORDS[: len(texts)]


def test_damaged_weights_are_named(recognizer) -> None:
    recognizer.engine.log_probs = lambda waveforms: [np.full((len(w) // 320, 8), np.nan, np.float32) for w in waveforms]
    with pytest.raises(CheckpointError, match="NaN"):
        recognizer.transcribe(WAVEFORM)


def test_phones_and_scripts_without_spaces_are_cut_too() -> None:
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "d", "a", "b", "c"]
    letters = [letter for word in WORDS for letter in word]
    ids = [0 if id == 4 else id for id in IDS]
    phones = level_recognizer(LevelEngine(), symbols, is_phones=True).transcribe(waveform_of(ids))
    assert [phone.text for phone in phones.phones] == letters
    characters = level_recognizer(LevelEngine(), symbols).transcribe(waveform_of(ids))
    assert characters.text.replace(" ", "") == "".join(letters)
