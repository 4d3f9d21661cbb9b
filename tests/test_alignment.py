"""Texts set beside recordings: what they sound like, where their sounds begin and end, and what is not found."""

from __future__ import annotations

import math
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xlsr
from xlsr.alignment import align_text, doubtful, frame_levels, numbers
from xlsr.alignment.boundaries import sound_edges
from xlsr.alignment.numbers import say_number
from xlsr.alignment.spelling import Spelling, spell
from xlsr.audio import num_frames
from xlsr.decoding.hypothesis import WILDCARD, TokenSpan
from xlsr.errors import AlignmentError, ConfigError
from xlsr.results import Segment, Transcript, Word
from xlsr.tokenizer import Tokenizer

LETTERS = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"])
CAPITALS = Tokenizer.from_symbols(["<pad>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"], lowercase=True)
PHONES = Tokenizer.from_symbols(["<pad>", "a", "t", "ʃ", "tʃ", "oʊ", "n"], is_phones=True)
WORDS = Tokenizer.from_symbols(["<pad>", "|", "one", "two", "seven"])


def heard(spelling: Spelling, tokenizer: Tokenizer) -> str:
    """The symbols of a spelling in a row; wildcards are ?"""
    return "".join("?" if id == WILDCARD else tokenizer.symbol(id) for id in spelling.ids)


def spoken(symbols: dict[int, str], frames: int, tokenizer: Tokenizer = LETTERS) -> np.ndarray:
    """Log-probabilities of a model that is sure of its symbols, one frame each."""
    log_probs = np.full((frames, tokenizer.size), -12.0, np.float32)
    log_probs[:, tokenizer.blank_id] = -0.01
    for frame, symbol in symbols.items():
        log_probs[frame, tokenizer.blank_id] = -5
        log_probs[frame, tokenizer.vocab[symbol]] = math.log(0.9)
    return log_probs


def spans_of(*frames: tuple[int, int]) -> list[TokenSpan]:
    return [TokenSpan(1, start, end, -0.1) for start, end in frames]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the cat", "?the|cat?"),
        ("The CAT!", "?the|cat?"),
        ("don’t “quote” 'em", "?don't|quote|em?"),
        ("twenty-one/two", "?twenty|one|two?"),
        ("déjà vu, Straße", "?deja|vu|strasse?"),
        ("so\u00adft", "?soft?"),
        ("said * again", "?said|?|again?"),
        ("* said *", "?|said|?"),
        ("я said", "?|said?"),
        ("R&D at 5€", "?r?d|at|five?"),  # signs may be read aloud
        ("$20 off", "?|twenty?|off?"),  # the dollars are said after the number
        ("e\u0301", "?e?"),
        ("a|b жю", "?a|b|??"),
    ],
)
def test_letters_follow_the_vocabulary(text: str, wanted: str) -> None:
    assert heard(spell(text, LETTERS, language="eng"), LETTERS) == wanted


def test_capitals_and_long_symbols_follow_the_vocabulary() -> None:
    assert heard(spell("Don't go", CAPITALS), CAPITALS) == "?DONT|GO?"
    assert heard(spell("one Two 7", WORDS, language="eng"), WORDS) == "?one|two|seven?"


def test_phones_are_the_nearest_that_the_vocabulary_has() -> None:
    spelling = spell("t͡ʃ aː | nʲ œ oʊ", PHONES)
    assert [id if id == WILDCARD else PHONES.symbol(id) for id in spelling.ids] == [
        WILDCARD, "tʃ", "a", "n", WILDCARD, "oʊ", WILDCARD,
    ]  # fmt: skip
    assert [word.text for word in spelling.words] == ["t͡ʃ", "aː", "nʲ", "œ", "oʊ"]


def test_what_is_silent_goes_to_its_neighbour() -> None:
    spelling = spell("— well … yes –\nno", LETTERS)
    assert [(word.text, word.line) for word in spelling.words] == [("— well …", 0), ("yes –", 0), ("no", 1)]


def test_a_text_with_nothing_to_say_is_an_error() -> None:
    for text in ("", " \n ", "... –"):
        with pytest.raises(AlignmentError, match="nothing in it that can be said"):
            spell(text, LETTERS)


@settings(max_examples=200, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from(" abc'’1290.,-%$*\n")), max_size=30))
def test_every_written_word_is_kept_and_has_symbols(text: str) -> None:
    try:
        spelling = spell(text, LETTERS, language="eng")
    except AlignmentError:
        return
    assert " ".join(word.text for word in spelling.words).split() == unicodedata.normalize("NFC", text).split()
    places = [place for word in spelling.words for place in word.labels]
    assert places == sorted(set(places))
    assert all(word.labels and word.labels.stop <= len(spelling.ids) for word in spelling.words)
    for word in spelling.words:
        spoken = [place for piece in word.pieces for place in piece.labels]
        assert set(spoken) <= set(word.labels)
    apart = set(range(len(spelling.ids))) - set(places)
    assert all(spelling.ids[place] in (WILDCARD, spelling.space_id) for place in apart)


@pytest.mark.parametrize(
    ("number", "language", "words"),
    [
        ("7", "eng", "seven"),
        ("42", "eng", "forty-two"),
        ("1,234", "eng", "one thousand two hundred thirty-four"),
        ("3.25", "eng", "three point two five"),
        ("1984", "eng", "nineteen eighty-four"),
        ("3rd", "eng", "third"),
        ("10:30", "eng", "ten thirty"),
        ("007", "en", "zero zero seven"),
        ("12345678", "eng", "one two three four five six seven eight"),
        ("٤٢", "eng", "forty-two"),
        ("21", "deu", "einundzwanzig"),
        ("3,5", "deu", "drei Komma fünf"),
        ("1.000.000", "deu", "eine Million"),
        ("80", "fra", "quatre-vingts"),
        ("3rd", "deu", None),
        ("7", "xxx", None),
        ("7", "../en", None),
        ("7", None, None),
    ],
)
def test_numbers_are_said_as_the_language_says_them(number: str, language: str | None, words: str | None) -> None:
    assert say_number(number, language) == words


def test_numbers_without_their_package_are_wildcards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_engine", lambda language: None)
    spelling = spell("at 1,234 now", LETTERS, language="eng")
    assert heard(spelling, LETTERS) == "?at|?|now?"
    assert [word.text for word in spelling.words] == ["at", "1,234", "now"]


def test_levels_are_those_of_the_frames() -> None:
    time = np.arange(16_000) / 16_000
    waveform = (0.5 * np.sin(2 * np.pi * 200 * time) * (time >= 0.5)).astype(np.float32)
    levels = frame_levels(waveform)
    assert len(levels) == num_frames(len(waveform))
    assert levels[:24] == pytest.approx(-90)  # the floor
    assert levels[26:] == pytest.approx(10 * np.log10(0.125), abs=0.1)
    assert frame_levels(waveform[:399]).size == 0


def test_neighbours_meet_in_the_middle_of_the_blanks() -> None:
    edges = sound_edges(spans_of((10, 11), (14, 16), (20, 21)), [0, 0, 1], 40)
    assert edges.tolist() == [[8.5, 12.5], [12.5, 18], [18, 22.5]]


def test_without_levels_a_sound_reaches_half_the_usual_blanks_into_a_pause() -> None:
    edges = sound_edges(spans_of((10, 11), (15, 16), (60, 61), (65, 66)), [0, 0, 1, 1], 67)
    assert edges.tolist() == [[8, 13], [13, 18], [58, 63], [63, 67]]  # and no further than the recording


def test_levels_show_where_a_pause_begins_and_ends() -> None:
    levels = np.full(80, -70.0)
    levels[5:25] = levels[50:75] = -20
    levels[12:16] = -70  # a closure
    edges = sound_edges(spans_of((20, 21), (60, 61)), [0, 1], 80, levels=levels)
    assert edges.tolist() == [[5, 25], [50, 75]]
    levels[:] = -20  # nothing but sound: no pause is to be seen
    edges = sound_edges(spans_of((20, 21), (60, 61)), [0, 1], 80, levels=levels)
    assert edges.tolist() == [[18, 23], [58, 63]]


def test_two_words_in_one_sound_share_it() -> None:
    levels = np.full(80, -70.0)
    levels[10:70] = -20
    levels[38:43] = -70  # a closure
    edges = sound_edges(spans_of((20, 21), (60, 61)), [0, 1], 80, levels=levels)
    assert edges.tolist() == [[10, 40.5], [40.5, 70]]


def test_a_word_is_never_parted_but_a_line_of_phones_may_be() -> None:
    spans = spans_of((10, 11), (13, 14), (50, 51), (53, 54))
    assert sound_edges(spans, [0] * 4, 80)[1:3].tolist() == [[12, 32], [32, 52]]
    assert sound_edges(spans, [0] * 4, 80, can_part=True)[1:3].tolist() == [[12, 15], [49, 52]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3), st.booleans()), min_size=1, max_size=8), st.data())
def test_sounds_are_in_order_and_hold_their_frames(runs: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    spans, words, at = [], [], 0
    for gap, length, is_new in runs:
        spans.append(TokenSpan(1, at + gap, at + gap + length, -1.0))
        words.append((words[-1] if words else 0) + is_new)
        at += gap + length
    frames = at + data.draw(st.integers(0, 30))
    levels = np.array(data.draw(st.lists(st.sampled_from([-80.0, -40.0, -20.0]), min_size=frames, max_size=frames)))
    edges = sound_edges(spans, words, frames, levels=levels if data.draw(st.booleans()) else None)
    assert edges.min() >= 0
    assert edges.max() <= frames
    assert (np.diff(edges.ravel()) >= 0).all()
    for span, (start, end) in zip(spans, edges, strict=True):
        assert start <= span.start < span.end <= end


def test_words_have_the_times_of_their_sounds() -> None:
    # c a t | s a t: two blanks between the letters of a word, eleven between the words.
    log_probs = spoken(dict(zip([10, 13, 16, 20, 28, 31, 34], "cat|sat", strict=True)), 50)
    (segment,) = align_text(log_probs, "Cat, sat", LETTERS)
    first, second = segment.words
    assert (first.text, second.text) == ("Cat,", "sat")
    # Frame f stands for 20 f + 2.5 ms to 20 ms later: the middle of the 25 ms that it sees.
    assert (first.start, first.end) == pytest.approx((0.02 * 9 + 0.0025, 0.02 * 18 + 0.0025))
    assert (second.start, second.end) == pytest.approx((0.02 * 27 + 0.0025, 0.02 * 36 + 0.0025))
    assert first.score == pytest.approx(0.9)
    assert [(c.text, round(c.start, 4), round(c.end, 4)) for c in first.characters] == [
        ("C", 0.1825, 0.2425), ("a", 0.2425, 0.3025), ("t", 0.3025, 0.3625), (",", 0.3625, 0.3625),
    ]  # fmt: skip


def test_numbers_and_unknown_letters_have_times() -> None:
    heard = dict(zip([5, 8, 12, 16, 19, 22, 25, 28, 32, 36, 39], "at|seven|go", strict=True))
    log_probs = spoken(heard, 50)
    for text, language in (("at 7 go", "eng"), ("at 7 go", None), ("at жуть go", None)):
        words = align_text(log_probs, text, LETTERS, language=language)[0].words
        assert [word.text for word in words] == text.split()
        assert words[1].start == pytest.approx(0.02 * 14, abs=0.05)
        assert words[1].end == pytest.approx(0.02 * 31, abs=0.05)
        assert (words[1].score is None) == (language is None)
        assert "".join(character.text for character in words[1].characters) == text.split()[1]
        assert all(a.end == b.start for a, b in pairwise(words[1].characters))


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("abc '29.,-%$*я\n"), max_size=30), st.integers(0, 10**6))
def test_every_written_word_has_times_in_order(text: str, seed: int) -> None:
    log_probs = np.random.default_rng(seed).normal(size=(300, LETTERS.size))
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    try:
        segments = align_text(log_probs, text, LETTERS, language="eng")
    except AlignmentError:
        assert "*" not in text.split()
        assert not any(unicodedata.category(char)[0] in "LNS" or char == "%" for char in text)
        return
    words = [word for segment in segments for word in segment.words]
    assert [chunk for word in words for chunk in word.text.split() if chunk != "*"] == [
        chunk for chunk in text.split() if chunk != "*"
    ]
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= 6)
    for word in words:
        inside = [edge for character in word.characters for edge in (character.start, character.end)]
        assert inside == sorted(inside)
        assert "".join(character.text for character in word.characters) == word.text.replace(" ", "")
        assert word.start <= inside[0] <= inside[-1] <= word.end


def test_a_symbol_that_is_not_said_is_empty_and_doubtful() -> None:
    log_probs = spoken(dict(zip([5, 8, 12, 16, 19], "at|go", strict=True)), 40)
    segments = align_text(log_probs, "at § go *", LETTERS)
    words = segments[0].words
    assert [word.text for word in words] == ["at", "§", "go"]  # of a * nothing stays where nothing is heard
    assert words[0].end == words[1].start == words[1].end
    assert doubtful(Transcript("", segments=segments)) == (words[1],)


def test_silence_holds_no_wildcards() -> None:
    (segment,) = align_text(spoken({}, 20), "жю 42", LETTERS)
    assert [(word.text, word.start, word.end) for word in segment.words] == [("жю", 0, 0), ("42", 0, 0)]


def test_levels_of_another_recording_are_refused() -> None:
    with pytest.raises(ValueError, match="levels has 19 frames; wanted the 20"):
        align_text(spoken({}, 20), "a", LETTERS, levels=np.zeros(19))


def test_wrong_words_are_doubtful() -> None:
    log_probs = spoken(dict(zip([5, 8, 12, 16, 19, 25, 28, 31], "at|goxyz", strict=True)), 60)
    segments = align_text(log_probs, "at go bbb", LETTERS)
    assert [word.text for word in doubtful(Transcript("", segments=segments))] == ["bbb"]


def test_lines_are_segments() -> None:
    log_probs = spoken(dict(zip([5, 8, 12, 16, 19, 22, 25], "at|go|x", strict=True)), 40)
    segments = align_text(log_probs, "\nAt go\n\n x.\n", LETTERS)
    assert [(segment.id, segment.text) for segment in segments] == [(0, "At go"), (1, "x.")]


def test_phones_have_times_and_no_words() -> None:
    log_probs = spoken({5: "t", 8: "a", 40: "oʊ", 44: "n"}, 60, PHONES)
    (segment,) = align_text(log_probs, "t aː oʊ n", PHONES)
    assert segment.words == ()
    assert [(phone.text, round(phone.start, 4), round(phone.end, 4)) for phone in segment.phones] == [
        ("t", 0.0725, 0.1425), ("aː", 0.1425, 0.2125), ("oʊ", 0.7725, 0.8525), ("n", 0.8525, 0.9325),
    ]  # fmt: skip


def test_damaged_weights_are_named() -> None:
    log_probs = spoken({5: "t"}, 20, PHONES)
    log_probs[3] = np.nan
    with pytest.raises(AlignmentError, match="NaN"):
        align_text(log_probs, "t", PHONES)


def test_forced_align_is_public() -> None:
    spans = xlsr.forced_align(spoken({5: "t", 8: "a"}, 20, PHONES), [PHONES.vocab["t"], PHONES.vocab["a"]])
    assert [(span.start, span.end) for span in spans] == [(5, 6), (8, 9)]


@pytest.fixture(scope="module")
def digits() -> xlsr.Recognizer:
    return xlsr.load_model()


def test_a_recording_is_aligned_with_what_is_written(digits: xlsr.Recognizer, repository: Path) -> None:
    audio = repository / "examples" / "digits.wav"
    text = (repository / "examples" / "digits.txt").read_text(encoding="utf-8").split()
    found = digits.align(audio, " ".join(text))
    assert [word.text for word in found.words] == text
    assert found.duration == pytest.approx(digits.transcribe(audio).duration)
    assert found.audio == digits.transcribe(audio).audio
    assert (found.model, found.language) == ("xlsr-digits", "eng")
    written = digits.align(audio, "7 7, 4 3 5!")
    assert [(w.start, w.end) for w in written.words] == [(w.start, w.end) for w in found.words]
    # The third word is left out, and the last is another.
    gap = digits.align(audio, "seven seven * three nine")
    assert [(w.start, w.end) for w in gap.words[:4]] == [(w.start, w.end) for w in found.words[:4]]
    assert doubtful(gap) == (gap.words[4],)


def test_times_do_not_drift_over_windows(digits: xlsr.Recognizer, repository: Path) -> None:
    waveform = xlsr.load_audio(repository / "examples" / "digits.wav")
    text = (repository / "examples" / "digits.txt").read_text(encoding="utf-8")
    alone = digits.align(waveform, text)
    copies = 15  # more than a minute: three windows
    found = digits.align(np.tile(waveform, copies), "\n".join([text] * copies))
    assert len(found.segments) == copies
    period = len(waveform) / 16_000
    errors = [
        word.start - copy * period - wanted.start
        for copy, segment in enumerate(found.segments)
        for word, wanted in zip(segment.words, alone.words, strict=True)
    ]
    assert np.median(np.abs(errors)) <= 0.021  # one frame; single words move where windows end
    assert abs(np.median(errors[-10:]) - np.median(errors[:10])) <= 0.02


def test_a_language_without_numbers_is_refused() -> None:
    assert numbers.known_language(None) is None
    assert numbers.known_language("deu") == "deu"
    with pytest.raises(ConfigError, match="numbers cannot be said in 'zzz'; wanted an ISO 639-3 code"):
        numbers.known_language("zzz")


def test_what_cannot_be_spelt_is_doubtful() -> None:
    words = [Word("a", 0.1, 0.2, 0.9), Word("€", 0.2, 0.3), Word("*", 0.3, 0.6)]
    assert doubtful(Transcript("", segments=(Segment(0, 0.1, 0.6, "a € *", words=tuple(words)),))) == (words[1],)
