"""CTM, STM, TextGrid and highlighted subtitles, read back: by praatio, by pysubs2, and by NIST's own rules."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid
from praatio.utilities.constants import Interval

from xlsr.results import OUTPUT_FORMATS, AudioInfo, Phone, Segment, Transcript, Word, format_transcript, with_timestamps

WORDS = (Word("größe", 0.5, 0.9, 0.75), Word("ja", 1.0, 1.2, 0.5))
SPEECH = Transcript(
    text="größe ja 日本",
    language="deu",
    segments=(
        Segment(0, 0.5, 1.2, "größe ja", -0.25, WORDS, (Phone("ɡ", 0.5, 0.52, 0.9),)),
        Segment(1, 4000.04, 4001.999, "日本", None, (Word("日本", 4000.04, 4001.999),)),
    ),
    duration=4002.5,
    audio=AudioInfo("calls/my talk.v2.wav"),
)
CALL = Transcript(
    text="hello yes hello who is it",
    segments=(
        Segment(0, 0.0, 1.0, "hello", words=(Word("hello", 0.1, 0.5, 0.9),), channel=1),
        Segment(1, 0.4, 1.5, "yes hello", words=(Word("yes", 0.4, 0.6), Word("hello", 0.9, 1.5)), channel=2),
        Segment(2, 2.0, 3.0, "who is it", words=tuple(Word(w, 2.0, 3.0) for w in ("who", "is", "it")), channel=1),
    ),
    duration=4.0,
    audio=AudioInfo("call.wav"),
)
EMPTY = Transcript(text="", audio=AudioInfo("silence.wav"), duration=2.0)


def of_words(*words: Word) -> Transcript:
    text = " ".join(word.text for word in words)
    segments = (Segment(0, words[0].start, max(word.end for word in words), text, words=words),) if words else ()
    return Transcript(text, segments=segments, duration=10.0)


# NIST: SCTK, doc/infmts.htm


class Timed(NamedTuple):
    """A record of a CTM or STM file."""

    file: str
    channel: str
    start: float
    end: float
    text: str
    rest: str


def records(written: str) -> list[list[str]]:
    """The records of a file, one a line; comments and blank lines are none."""
    assert not written or written.endswith("\n")
    return [line.split() for line in written.splitlines() if line.strip() and not line.startswith(";;")]


def read_ctm(written: str) -> list[Timed]:
    """CTM :== <F> <C> <BT> <DUR> word [ <CONF> ], sorted by the first three columns."""
    found = []
    for fields in records(written):
        assert len(fields) in (5, 6)
        file, channel, start, length, word, *confidence = fields
        assert "/" not in file
        assert "*" not in (start, length)
        assert all(0 <= float(one) <= 1 for one in confidence)
        assert float(length) >= 0
        found.append(Timed(file, channel, float(start), float(start) + float(length), word, " ".join(confidence)))
    assert found == sorted(found, key=lambda one: (one.file, one.channel, one.start))
    return found


def read_stm(written: str) -> list[Timed]:
    """STM :== <F> <C> <S> <BT> <ET> [ <LABEL> ] transcript, sorted by the first two columns and the fourth."""
    found = []
    for file, channel, speaker, start, end, labels, *words in records(written):
        assert re.fullmatch(r"<[^<>\s]+>", labels)
        assert words
        assert not set("{}") & set("".join(words))  # alternatives of a reference
        assert 0 <= float(start) < float(end)
        found.append(Timed(file, channel, float(start), float(end), " ".join(words), f"{speaker} {labels}"))
    assert found == sorted(found, key=lambda one: (one.file, one.channel, one.start))
    for last, one in pairwise(found):
        assert last[:2] != one[:2] or last.end <= one.start
    return found


def test_ctm_has_a_line_for_each_word_with_its_confidence_where_known() -> None:
    assert format_transcript(SPEECH, "ctm") == (
        "my_talk.v2 1 0.500 0.400 größe 0.750\nmy_talk.v2 1 1.000 0.200 ja 0.500\nmy_talk.v2 1 4000.040 1.959 日本\n"
    )
    assert len(read_ctm(format_transcript(SPEECH, "ctm"))) == 3


def test_ctm_of_a_phone_model_has_its_phones() -> None:
    transcript = Transcript("t a", segments=(Segment(0, 0, 1, "t a", phones=(Phone("t", 0, 0.1), Phone("a", 0.1, 1))),))
    assert [one.text for one in read_ctm(format_transcript(transcript, "ctm"))] == ["t", "a"]


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_every_format_holds_phones_where_there_are_no_words(output_format: str) -> None:
    phones = Phone("t", 0, 0.1, 0.9), Phone("oʊ", 0.1, 1)
    transcript = Transcript("t oʊ", segments=(Segment(0, 0, 1, "t oʊ", phones=phones),))
    for highlight_words in (False, True):
        assert "oʊ" in format_transcript(transcript, output_format, highlight_words=highlight_words)


def test_stm_has_file_channel_speaker_times_labels_and_text() -> None:
    assert format_transcript(SPEECH, "stm") == (
        "my_talk.v2 1 my_talk.v2-1 0.500 1.200 <o,deu> größe ja\n"
        "my_talk.v2 1 my_talk.v2-1 4000.040 4001.999 <o,deu> 日本\n"
    )


@pytest.mark.parametrize(("output_format", "read"), [("ctm", read_ctm), ("stm", read_stm)])
def test_channels_of_a_call_are_the_second_field_and_sorted_by_it(output_format: str, read) -> None:
    found = read(format_transcript(CALL, output_format))
    assert [one.channel for one in found] == sorted(one.channel for one in found)
    said = {channel: " ".join(one.text for one in found if one.channel == channel) for channel in ("1", "2")}
    assert said == {"1": "hello who is it", "2": "yes hello"}


@pytest.mark.parametrize(
    ("audio", "field"),
    [(None, "audio"), ("<stdin>", "stdin"), ("a/b c.wav", "b_c"), (";;x.wav", "x"), ("日本.mp3", "日本")],
)
def test_file_fields_have_no_folder_suffix_or_blank(audio: str | None, field: str) -> None:
    transcript = Transcript(SPEECH.text, segments=SPEECH.segments, audio=AudioInfo(audio) if audio else None)
    for output_format in ("ctm", "stm"):
        assert format_transcript(transcript, output_format).split()[0] == field


def test_segments_of_one_channel_do_not_overlap_in_stm() -> None:
    transcript = Transcript("a b", segments=(Segment(0, 0, 2, "a"), Segment(1, 1.5, 3, "b"), Segment(2, 2.9, 2.9, "c")))
    found = read_stm(format_transcript(transcript, "stm"))
    assert [(one.start, one.end) for one in found] == [(0, 2), (2, 3), (3, 3.001)]


ANY_TEXT = st.text("aé日 \t\n\"'<>{}/@;\\", max_size=6)
ANY_WORDS = st.lists(
    st.builds(
        lambda text, start, length, score: Word(text, start, start + length, score),
        ANY_TEXT, st.floats(0, 9), st.floats(0, 1), st.none() | st.floats(0, 1),
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ANY_WORDS)
def test_nist_files_keep_every_word_of_any_text(words: list[Word]) -> None:
    transcript = of_words(*words)
    wanted = [re.sub(r"\s+", "_", word.text.strip()) for word in words if word.text.strip()]
    assert sorted(one.text for one in read_ctm(format_transcript(transcript, "ctm"))) == sorted(wanted)
    said = " ".join(transcript.text.split()).translate(str.maketrans("{}", "()"))
    assert [one.text for one in read_stm(format_transcript(transcript, "stm"))] == ([said] if said else [])


# Praat


def read_textgrid(transcript: Transcript, folder: Path) -> textgrid.Textgrid:
    path = folder / "a.TextGrid"
    transcript.write(path)
    return textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")


def test_textgrid_has_words_and_phones(tmp_path: Path) -> None:
    found = read_textgrid(SPEECH, tmp_path)
    assert found.tierNames == ("words", "phones")
    assert (found.minTimestamp, found.maxTimestamp) == (0, 4002.5)
    assert found.getTier("words").entries == (
        Interval(0, 0.5, ""), Interval(0.5, 0.9, "größe"), Interval(0.9, 1.0, ""), Interval(1.0, 1.2, "ja"),
        Interval(1.2, 4000.04, ""), Interval(4000.04, 4001.999, "日本"), Interval(4001.999, 4002.5, ""),
    )  # fmt: skip
    assert found.getTier("phones").entries[1] == Interval(0.5, 0.52, "ɡ")


def test_textgrid_of_a_call_has_a_tier_for_each_channel(tmp_path: Path) -> None:
    found = read_textgrid(CALL, tmp_path)
    assert found.tierNames == ("words 1", "words 2")
    assert [entry.label for entry in found.getTier("words 2").entries if entry.label] == ["yes", "hello"]


def test_textgrid_of_nothing_is_one_empty_interval(tmp_path: Path) -> None:
    assert read_textgrid(EMPTY, tmp_path).getTier("words").entries == (Interval(0, 2, ""),)
    assert read_textgrid(Transcript(""), tmp_path).getTier("words").entries == (Interval(0, 0.001, ""),)


def test_words_that_overlap_or_have_no_width_stay_in_the_textgrid(tmp_path: Path) -> None:
    words = Word("a", 0, 2), Word("b", 1, 1), Word("c", 1, 1), Word("d", 1, 12)
    found = read_textgrid(of_words(*words), tmp_path).getTier("words")
    assert found.entries == (
        Interval(0, 1, "a"), Interval(1, 1.001, "b"), Interval(1.001, 1.002, "c"), Interval(1.002, 12, "d")
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(words=ANY_WORDS)
def test_textgrids_tile_the_recording_and_keep_every_word(tmp_path_factory, words: list[Word]) -> None:
    found = read_textgrid(of_words(*words), tmp_path_factory.mktemp("grid"))
    entries = found.getTier("words").entries
    assert entries[0].start == 0
    assert entries[-1].end == found.maxTimestamp
    assert all(a.end == b.start for a, b in pairwise(entries))
    wanted = [" ".join(re.split(r"[\t\n]+", word.text)).strip() for word in words]
    assert sorted(entry.label for entry in entries if entry.label) == sorted(text for text in wanted if text)


def test_textgrid_doubles_quotes() -> None:
    assert 'text = "say ""so"""\n' in format_transcript(of_words(Word('say "so"', 0, 1)), "textgrid")


# highlighted words


def cues(transcript: Transcript, output_format: str) -> list[tuple[int, int, str]]:
    written = format_transcript(transcript, output_format, highlight_words=True)
    found = pysubs2.SSAFile.from_string(written, format_=output_format, keep_html_tags=True)
    return [(one.start, one.end, one.text.replace("{\\u1}", "<u>").replace("{\\u0}", "</u>")) for one in found]


@pytest.mark.parametrize("output_format", ["srt", "vtt"])
def test_highlighted_subtitles_underline_each_word_in_its_time(output_format: str) -> None:
    assert cues(SPEECH, output_format) == [
        (500, 900, "<u>größe</u> ja"),
        (900, 1000, "größe ja"),
        (1000, 1200, "größe <u>ja</u>"),
        (4000040, 4001999, "<u>日本</u>"),
    ]


def test_highlighted_lines_keep_their_spelling() -> None:
    words = Word("日", 0, 1), Word("本", 1, 2)
    assert cues(Transcript("日本", segments=(Segment(0, 0, 2, "日本", words=words),)), "vtt") == [
        (0, 1000, "<u>日</u>本"),
        (1000, 2000, "日<u>本</u>"),
    ]
    assert cues(Transcript("x", segments=(Segment(0, 0, 1, "Spelt", words=words[:1]),)), "vtt") == [
        (0, 1000, "<u>日</u>")
    ]


def test_highlighted_text_is_escaped_around_the_mark() -> None:
    written = format_transcript(of_words(Word("a<b", 0, 1), Word("&c", 1, 2)), "vtt", highlight_words=True)
    assert "<u>a&lt;b</u> &amp;c" in written
    assert "a&lt;b <u>&amp;c</u>" in written


@settings(max_examples=100, deadline=None)
@given(ANY_WORDS)
def test_highlighted_cues_follow_each_other_and_say_the_whole_line(words: list[Word]) -> None:
    transcript = of_words(*sorted(words, key=lambda word: word.start))
    written = format_transcript(transcript, "vtt", highlight_words=True)
    times = re.findall(r"^(\d\d):(\d\d):(\d\d)\.(\d{3}) --> (\d\d):(\d\d):(\d\d)\.(\d{3})$", written, re.MULTILINE)
    starts = [((int(h) * 60 + int(m)) * 60 + int(s)) * 1000 + int(ms) for h, m, s, ms, *_ in times]
    ends = [((int(h) * 60 + int(m)) * 60 + int(s)) * 1000 + int(ms) for *_, h, m, s, ms in times]
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert all(end <= start for end, start in zip(ends[:-1], starts[1:], strict=True))
    assert written.count("<u>") == written.count("</u>")


@pytest.mark.parametrize("output_format", ["srt", "vtt"])
def test_phones_are_highlighted_where_there_are_no_words(output_format: str) -> None:
    phones = Phone("t", 0, 0.1), Phone("oʊ", 0.1, 0.5), Phone("t", 0.7, 1)
    transcript = Transcript("t oʊ t", segments=(Segment(0, 0, 1, "t oʊ t", phones=phones),))
    assert cues(transcript, output_format) == [
        (0, 100, "<u>t</u> oʊ t"), (100, 500, "t <u>oʊ</u> t"), (500, 700, "t oʊ t"), (700, 1000, "t oʊ <u>t</u>"),
    ]  # fmt: skip


@pytest.mark.parametrize("output_format", ["srt", "vtt"])
def test_cues_have_a_length(output_format: str) -> None:
    transcript = of_words(Word("a", 0.5, 0.5))
    written = format_transcript(transcript, output_format)
    (cue,) = pysubs2.SSAFile.from_string(written, format_=output_format)
    assert (cue.start, cue.end, cue.text) == (500, 501, "a")
    assert cues(transcript, output_format) == [(500, 501, "<u>a</u>")]
    assert cues(of_words(Word("a", 0, 1), Word("b", 1, 1), Word("c", 1, 2)), output_format) == [
        (0, 1000, "<u>a</u> b c"), (1000, 1001, "a <u>b</u> c"), (1001, 2000, "a b <u>c</u>"),
    ]  # fmt: skip


@pytest.mark.parametrize("output_format", ["txt", "srt", "vtt"])
def test_lines_of_a_call_begin_with_their_channel(output_format: str) -> None:
    written = format_transcript(CALL, output_format)
    lines = [line for line in written.splitlines() if line.startswith("[")]
    assert lines == ["[channel 1]: hello", "[channel 2]: yes hello", "[channel 1]: who is it"]


def test_tables_and_dictionaries_of_a_call_have_its_channels() -> None:
    rows = [line.split("\t") for line in format_transcript(CALL, "tsv").splitlines()]
    assert [row[3] for row in rows] == ["channel", "1", "2", "1"]
    assert [segment["channel"] for segment in CALL.to_dict()["segments"]] == [1, 2, 1]
    assert Transcript.from_dict(CALL.to_dict()) == CALL


# what cannot be written


@pytest.mark.parametrize("output_format", ["ctm", "stm"])
def test_nothing_said_is_an_empty_file(output_format: str) -> None:
    assert format_transcript(EMPTY, output_format) == ""


@pytest.mark.parametrize("output_format", ["ctm", "textgrid"])
def test_formats_of_words_want_their_times(output_format: str) -> None:
    for level in ("none", "segment"):
        with pytest.raises(ValueError, match=f"{output_format} needs the times of"):
            format_transcript(with_timestamps(SPEECH, level), output_format)


def test_highlighting_wants_the_times_of_words() -> None:
    with pytest.raises(ValueError, match="highlighting needs the times of words"):
        format_transcript(with_timestamps(SPEECH, "segment"), "vtt", highlight_words=True)
    assert format_transcript(with_timestamps(SPEECH, "none"), "txt", highlight_words=True) == "größe ja 日本\n"
