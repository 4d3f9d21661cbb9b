"""Seams and cuts: no word is lost, doubled or broken, whatever the windows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.levels import BLANK, DELIMITER, LevelEngine, random_words, spoken, waveform_of
from xlsr.audio import windows
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.decoding.hypothesis import words_of
from xlsr.stitching import Stretch, cut_at_pauses, find_seam, stitch
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"])


def rows_of(ids: list[int], sure: float = 0.9) -> np.ndarray:
    rows = np.full((len(ids), 8), (1 - sure) / 7, np.float32)
    rows[np.arange(len(ids)), ids] = sure
    return np.log(rows)


def texts(stretches: list[Stretch]) -> list[str]:
    decoder = GreedyDecoder(BLANK)
    return [word.text for s in stretches for word in words_of(decoder.decode(s.log_probs)[0], TOKENIZER)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000_000), window=st.integers(260, 500), overlap=st.integers(110, 130))
def test_no_word_is_lost_or_doubled_at_a_seam(seed: int, window: int, overlap: int) -> None:
    # Each window is wrong within 25 frames of its edges and places all tokens up to two frames early or late.
    rng = np.random.default_rng(seed)
    words = random_words(rng, 60)
    said = spoken(words, rng, pause_frames=(4, 40))
    engine = LevelEngine(edge_frames=25, jitter_frames=2)
    parts = [
        Stretch(w.first_frame, engine.log_probs([w.waveform])[0])
        for w in windows([waveform_of(said)], window_frames=window, overlap_frames=overlap)
    ]
    assert len(parts) > 3
    joined = list(stitch(parts, BLANK))
    rows = np.concatenate([part.log_probs for part in joined])
    inside = texts([Stretch(0, rows[30:-30])])  # what lies at the ends of the recording is the engine's invention
    assert inside == words


def test_stitched_frames_tile_the_recording() -> None:
    ids = list(np.random.default_rng(0).integers(0, 8, 400))
    rows = rows_of(ids)
    parts = [Stretch(first, rows[first : first + 100]) for first in (0, 80, 160, 240, 300)]
    joined = list(stitch(parts, BLANK))
    assert [part.first_frame for part in joined[1:]] == [part.end_frame for part in joined[:-1]]
    np.testing.assert_array_equal(np.concatenate([part.log_probs for part in joined]), rows)


def test_a_gap_between_windows_stays_a_gap() -> None:
    rows = rows_of([0] * 50)
    joined = list(stitch([Stretch(0, rows), Stretch(50, rows), Stretch(170, rows)], BLANK))
    assert [(part.first_frame, part.end_frame) for part in joined] == [(0, 50), (50, 100), (170, 220)]


def test_a_seam_lies_in_the_middle_of_a_common_silence() -> None:
    ids = [5] * 30 + [0] * 31 + [6] * 39
    assert find_seam(rows_of(ids), rows_of(ids), BLANK) == pytest.approx(45, abs=1)


def test_a_seam_avoids_a_silence_that_only_one_window_hears() -> None:
    left = [5] * 30 + [0] * 20 + [6, 7] * 5 + [0] * 12 + [6] * 28
    right = [5] * 30 + [7, 6] * 10 + [6, 7] * 5 + [0] * 12 + [6] * 28
    assert 60 <= find_seam(rows_of(left), rows_of(right), BLANK) <= 72


def test_no_seam_lies_between_the_two_places_of_one_token() -> None:
    # The delimiter stands in the middle of a pause, four frames later in the left window than in the right.
    left = [5] * 25 + [0] * 12 + [4] + [0] * 8 + [6] * 30
    right = [5] * 25 + [0] * 8 + [4] + [0] * 12 + [6] * 30
    seam = find_seam(rows_of(left), rows_of(right), BLANK)
    assert 25 < seam <= 33 or 37 < seam < 46


def test_one_frame_of_overlap_has_its_seam_there() -> None:
    assert find_seam(rows_of([5]), rows_of([5]), BLANK) == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 3000), max_size=8))
def test_cuts_break_no_word_and_do_not_depend_on_the_parts(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    words = random_words(rng, 80)
    rows = rows_of(spoken(words, rng))
    edges = sorted({0, len(rows), *(cut % len(rows) for cut in cuts)})
    parts = [Stretch(first, rows[first:end]) for first, end in itertools.pairwise(edges)]
    found = list(cut_at_pauses(parts, BLANK, DELIMITER, min_frames=100, max_frames=300))
    assert texts(found) == words
    np.testing.assert_array_equal(np.concatenate([part.log_probs for part in found]), rows)
    assert all(100 <= len(part.log_probs) <= 300 for part in found[:-1])
    whole = cut_at_pauses([Stretch(0, rows)], BLANK, DELIMITER, min_frames=100, max_frames=300)
    assert [part.first_frame for part in found] == [part.first_frame for part in whole]


def test_the_widest_pause_between_words_is_taken() -> None:
    # A longer silence inside a word, one between words, and a shorter one between words.
    ids = [5] * 20 + [0] * 30 + [5] * 10 + [0] * 10 + [4] + [0] * 10 + [6] * 10 + [0, 4, 0] + [5] * 40
    first, second = cut_at_pauses([Stretch(7, rows_of(ids))], BLANK, DELIMITER, min_frames=10, max_frames=110)
    assert (first.first_frame, second.first_frame) == (7, 7 + 70)


def test_without_delimiters_every_pause_is_between_words() -> None:
    ids = [5] * 20 + [0] * 30 + [5] * 10 + [0] * 20 + [6] * 40
    _, second = cut_at_pauses([Stretch(0, rows_of(ids))], BLANK, None, min_frames=10, max_frames=100)
    assert second.first_frame == 35


def test_speech_without_any_pause_is_cut_where_silence_is_likeliest() -> None:
    rows = rows_of([5, 6] * 60)
    rows[70, BLANK] = np.log(0.3)
    first, _ = cut_at_pauses([Stretch(0, rows)], BLANK, DELIMITER, min_frames=50, max_frames=100)
    assert first.end_frame == 70


def test_a_gap_ends_a_stretch() -> None:
    rows = rows_of([0] * 50)
    found = list(cut_at_pauses([Stretch(0, rows), Stretch(50, rows), Stretch(170, rows)], BLANK, DELIMITER))
    assert [(part.first_frame, part.end_frame) for part in found] == [(0, 100), (170, 220)]
