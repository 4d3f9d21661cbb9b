"""Live speech: what is committed stays, nothing is lost or said twice, and chunks change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.levels import LevelEngine, level_recognizer, random_words, spoken, waveform_of
from xlsr.decoding.options import BeamOptions
from xlsr.errors import AudioError, ConfigError
from xlsr.results import Segment, Word
from xlsr.streaming import StreamingRecognizer, Update

# The engine is wrong within ten frames of a window's edges and places all tokens up to two frames early or late.
OPTIONS = {"window_seconds": 6.0, "delay_seconds": 0.3}


def stream(engine: LevelEngine | None = None, **options) -> StreamingRecognizer:
    engine = engine or LevelEngine(edge_frames=10, jitter_frames=2)
    return StreamingRecognizer(level_recognizer(engine), **OPTIONS | options)


def speech(seed: int, count: int = 60, pauses: tuple[int, int] = (8, 90)) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    words = random_words(rng, count)
    return words, waveform_of(spoken(words, rng, pause_frames=pauses) + [0] * 80)


def chunks_of(waveform: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """The waveform in chunks of these sizes, over and over."""
    edges = np.cumsum(np.resize(sizes, len(waveform) // min(sizes) + 1))
    return np.split(waveform, edges[edges < len(waveform)])


def listen(source: StreamingRecognizer, chunks: list[np.ndarray]) -> tuple[list[Update], list[Segment]]:
    updates = [*(source.feed(chunk) for chunk in chunks), source.finish()]
    return updates, [segment for update in updates for segment in update.finished]


def words_offline(engine: LevelEngine, waveform: np.ndarray) -> list[Word]:
    """Words with the times of their symbols, which live speech has too."""
    recognizer = level_recognizer(engine)
    return recognizer.decode(recognizer.log_probs(waveform))


def in_the_middle(words: list[str], segments: list[Segment]) -> list[str]:
    """The words that were found, without what the engine invents at the two ends of the recording."""
    found = [word.text for segment in segments for word in segment.words]
    return found[found.index(words[0]) :][: len(words)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(160, 9_000), min_size=1, max_size=4),
    agreement=st.integers(1, 3),
)
def test_committed_text_only_grows_for_chunks_of_any_size(seed: int, sizes: list[int], agreement: int) -> None:
    _, waveform = speech(seed, count=25)
    source = stream(agreement=agreement)
    committed = ""
    for chunk in chunks_of(waveform, sizes):
        update = source.feed(chunk)
        if update.finished:
            assert update.finished[0].text.startswith(committed)
        else:
            assert update.committed.startswith(committed)
        committed = update.committed
    last = source.finish().finished
    assert not committed or last[0].text.startswith(committed)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(160, 50_000), min_size=1, max_size=4))
def test_chunks_change_nothing(seed: int, sizes: list[int]) -> None:
    _, waveform = speech(seed, count=25)
    assert listen(stream(), chunks_of(waveform, sizes))[1] == listen(stream(), [waveform])[1]


@pytest.mark.parametrize("agreement", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_no_word_is_lost_or_said_twice(seed: int, agreement: int) -> None:
    words, waveform = speech(seed)
    _, segments = listen(stream(agreement=agreement), chunks_of(waveform, [1_600]))
    assert in_the_middle(words, segments) == words


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1_600, 9_000), is_closed=st.booleans())
def test_a_search_streams_as_the_best_path_does(seed: int, size: int, is_closed: bool, tmp_path_factory) -> None:
    """Also one whose lexicon hears nothing in most sounds."""
    words, waveform = speech(seed, count=20)
    lexicon = tmp_path_factory.getbasetemp() / "stream-lexicon.txt"
    lexicon.write_text("abcabc\n")
    options = BeamOptions(
        beam_size=8,
        log_add=False,  # added up over a long silence, the engine's faint symbols make a letter
        lexicon=lexicon if is_closed else None,
        word_score=-20.0 if is_closed else 0.0,
    )
    recognizer = level_recognizer(LevelEngine(edge_frames=10)).with_decoder(options)
    source, committed = StreamingRecognizer(recognizer, **OPTIONS), ""
    segments = []
    for update in [*(source.feed(chunk) for chunk in chunks_of(waveform, [size])), source.finish()]:
        now = update.finished[0].text if update.finished else update.committed
        assert now.startswith(committed)
        committed, segments = update.committed, [*segments, *update.finished]
    if not is_closed:
        found = [word.text for segment in segments for word in segment.words]
        assert any(found[place : place + len(words)] == words for place in range(len(found)))


def test_words_have_the_times_of_the_stream() -> None:
    words, waveform = speech(0)
    engine = LevelEngine()
    offline = words_offline(engine, waveform)
    _, segments = listen(stream(engine), chunks_of(waveform, [1_600]))
    found = [word for segment in segments for word in segment.words]
    assert [word.text for word in found] == words
    np.testing.assert_allclose([w.start for w in found], [w.start for w in offline], atol=1e-6)
    np.testing.assert_allclose([w.end for w in found], [w.end for w in offline], atol=1e-6)


def test_words_are_committed_within_the_delay_and_a_step() -> None:
    _, waveform = speech(0, pauses=(8, 20))
    source = stream(LevelEngine(), step_seconds=0.2, delay_seconds=0.4)
    offline = words_offline(LevelEngine(), waveform)
    count, latencies = 0, []
    for number, chunk in enumerate(chunks_of(waveform, [160]), 1):
        update = source.feed(chunk)
        total = sum(len(segment.words) for segment in update.finished) + len(update.committed.split())
        if update.finished:
            count = 0
        latencies += [number * 0.01 - word.end for word in offline[len(latencies) : len(latencies) + total - count]]
        count = len(update.committed.split())
    assert max(latencies) <= 0.4 + 0.2 + 0.011
    assert min(latencies) >= 0.4 - 0.02


def test_silence_ends_an_utterance() -> None:
    ids = [0] * 30 + [5, 5, 0, 6, 0, 4] + [0] * 20 + [7, 0] + [0] * 100 + [5, 0] + [0] * 100
    updates, segments = listen(stream(LevelEngine(), end_silence_seconds=1.0), chunks_of(waveform_of(ids), [320]))
    assert [(segment.id, segment.text) for segment in segments] == [(0, "ab c"), (1, "a")]
    ended = [number for number, update in enumerate(updates) if update.is_end]
    said = 30 + 6 + 20 + 1  # frames until the end of "c"
    assert said + 50 <= ended[0] <= said + 50 + 17  # a second of silence, and a step
    assert (updates[ended[0]].committed, updates[ended[0]].tentative) == ("", "")


def test_an_endless_utterance_is_ended_between_words() -> None:
    words, waveform = speech(0, count=200, pauses=(6, 10))
    _, segments = listen(stream(LevelEngine(), max_utterance_seconds=8.0), chunks_of(waveform, [1_600]))
    assert len(segments) > 2
    assert " ".join(segment.text for segment in segments).split() == words


def test_what_is_tentative_is_there_before_it_is_committed() -> None:
    words, waveform = speech(0, count=1)
    updates, _ = listen(stream(LevelEngine(), delay_seconds=1.0, step_seconds=0.1), chunks_of(waveform, [320]))
    tentative = next(number for number, update in enumerate(updates) if update.tentative == words[0])
    committed = next(number for number, update in enumerate(updates) if update.committed == words[0] or update.finished)
    assert tentative < committed


def test_work_and_memory_of_a_step_are_bounded() -> None:
    engine = LevelEngine()
    source = stream(engine)
    _, waveform = speech(0, count=400)
    for chunk in chunks_of(waveform, [16_000]):
        source.feed(chunk)
    assert engine.longest <= 6 * 16_000
    assert source._buffer.nbytes < 7 * 16_000 * 4
    assert len(source._committed) < 100


def test_scripts_without_spaces_are_committed_by_characters() -> None:
    recognizer = level_recognizer(LevelEngine(), ["<pad>", "<s>", "</s>", "<unk>", "d", "a", "b", "c"])
    ids = [0] * 30 + [5, 0, 6, 0, 7, 0, 5, 0] * 10 + [0] * 80
    source = StreamingRecognizer(recognizer, **OPTIONS)
    seen = {source.feed(chunk).committed for chunk in chunks_of(waveform_of(ids), [320])}
    assert len(seen) > 4
    assert all(("abca" * 10).startswith(text) for text in seen)


def test_phones_are_committed_one_by_one() -> None:
    recognizer = level_recognizer(LevelEngine(), ["<pad>", "<s>", "</s>", "<unk>", "d", "a", "b", "c"], is_phones=True)
    ids = [0] * 30 + [5, 0, 6, 0, 7, 0] * 10 + [0] * 80
    _, segments = listen(StreamingRecognizer(recognizer, **OPTIONS), chunks_of(waveform_of(ids), [1_600]))
    assert [phone.text for segment in segments for phone in segment.phones] == list("abc" * 10)


def test_bytes_of_a_telephone_are_heard(repository) -> None:
    import soxr

    import xlsr
    from xlsr.audio.g711 import mulaw_encode

    samples = xlsr.load_audio(repository / "examples" / "digits.wav")
    calls = mulaw_encode((32_767 * soxr.resample(samples, 16_000, 8_000)).astype(np.int16)).tobytes()
    source = StreamingRecognizer(xlsr.load_model(threads=1), sample_rate=8_000, encoding="mulaw")
    texts = [s.text for first in range(0, len(calls), 80) for s in source.feed(calls[first : first + 80]).finished]
    texts += [segment.text for segment in source.finish().finished]
    assert " ".join(texts) == (repository / "examples" / "digits.txt").read_text().strip()


def test_nothing_heard_is_nothing_said() -> None:
    assert stream().finish() == Update("", "")
    source = stream()
    source.feed(np.zeros(100, np.float32))
    assert source.finish() == Update("", "")


def test_after_the_end_nothing_is_taken() -> None:
    source = stream()
    source.finish()
    assert source.finish() == Update("", "")
    with pytest.raises(AudioError, match="finished"):
        source.feed(np.zeros(100, np.float32))


@pytest.mark.parametrize(
    "options", [{"window_seconds": 1.0}, {"delay_seconds": 9.0}, {"delay_seconds": -1.0}, {"step_seconds": 20.0},
                {"agreement": 0}, {"end_silence_seconds": 0.0}]
)  # fmt: skip
def test_times_that_make_no_sense_are_refused(options) -> None:
    with pytest.raises(ConfigError, match="wanted"):
        stream(**options)
