"""Transcripts and their files, read back with the formats' own tools."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.results import (
    OUTPUT_FORMATS,
    Alternative,
    AudioInfo,
    Character,
    Phone,
    Segment,
    Transcript,
    Word,
    format_transcript,
    split_segments,
    with_timestamps,
)

WORDS = (
    Word("größe", 0.5, 0.9, 0.75, (Character("g", 0.5, 0.52, 0.5), Character("r", 0.6, 0.62))),
    Word("ja", 1.0, 1.2, 0.5),
)
FULL = Transcript(
    text="größe ja\n日本",
    language="deu",
    segments=(
        Segment(0, 0.5, 1.2, "größe ja", -0.25, WORDS, (Phone("ɡ", 0.5, 0.52, 0.9),)),
        Segment(1, 4000.04, 4001.999, "日本", None, (Word("日本", 4000.04, 4001.999),)),
    ),
    duration=4002.5,
    audio=AudioInfo("a.wav", 8_000, 2, 3_900, 0.001, -0.02, -23.5, ("it is hoarse",)),
    model="tiny",
)
EMPTY = Transcript(text="")


def one_segment(text: str, start: float = 0.0, end: float = 1.0) -> Transcript:
    return Transcript(text=text, segments=(Segment(0, start, end, text),))


# dictionaries and JSON


@pytest.mark.parametrize("transcript", [FULL, EMPTY, one_segment("x\n\t\"'<&>")])
@pytest.mark.parametrize("output_format", ["json", "jsonl"])
def test_json_round_trip(transcript: Transcript, output_format: str) -> None:
    text = format_transcript(transcript, output_format)
    assert Transcript.from_dict(json.loads(text)) == transcript
    assert text.endswith("\n")
    assert output_format == "json" or text.count("\n") == 1


def test_dictionary_has_the_keys_of_whisper_and_whisperx() -> None:
    fields = FULL.to_dict()
    assert list(fields) == ["text", "language", "segments", "duration", "audio", "model", "score"]
    assert list(fields["segments"][0]) == ["id", "start", "end", "text", "avg_logprob", "words", "phones"]
    assert fields["segments"][0]["words"][0] == {
        "word": "größe",
        "start": 0.5,
        "end": 0.9,
        "score": 0.75,
        "chars": [
            {"char": "g", "start": 0.5, "end": 0.52, "score": 0.5},
            {"char": "r", "start": 0.6, "end": 0.62, "score": None},
        ],
    }
    assert fields["segments"][0]["phones"] == [{"phone": "ɡ", "start": 0.5, "end": 0.52, "score": 0.9}]


def test_json_is_readable_rounded_and_without_nan() -> None:
    word = Word("é", 0.1 + 0.2, 0.30049, math.nan)
    transcript = Transcript("é", segments=(Segment(0, 0.3, 0.3, "é", -math.inf, (word,)),))
    text = format_transcript(transcript, "jsonl")
    assert '"word": "é", "start": 0.3, "end": 0.3, "score": null' in text
    assert '"avg_logprob": null' in text


def test_dictionaries_of_whisper_are_read() -> None:
    segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": " hi", "avg_logprob": -0.1, "tokens": [1]}
    transcript = Transcript.from_dict({"text": " hi", "language": "en", "segments": [segment]})
    assert transcript.segments == (Segment(0, 0.0, 1.0, " hi", -0.1),)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match="lacks the key 'text'"):
        Transcript.from_dict({"segments": []})


def test_alternatives_pass_over_keys_and_name_missing_ones() -> None:
    reading = {"text": "hi", "score": -1.0, "acoustic_score": -0.5, "lm_score": -0.5}
    found = Transcript.from_dict({"text": "hi", "alternatives": [reading | {"tokens": [1, 2]}]})
    assert found.alternatives == (Alternative("hi", -1.0, -0.5, -0.5),)
    for key in reading:
        less = {name: value for name, value in reading.items() if name != key}
        with pytest.raises(ValueError, match=f"lacks the key '{key}'"):
            Transcript.from_dict({"text": "hi", "alternatives": [less]})


# subtitles


@pytest.mark.parametrize("output_format", ["srt", "vtt"])
def test_subtitles_read_back_with_times_beyond_an_hour(output_format: str) -> None:
    subtitles = pysubs2.SSAFile.from_string(format_transcript(FULL, output_format), format_=output_format)
    assert [(event.start, event.end, event.plaintext) for event in subtitles] == [
        (500, 1200, "größe ja"),
        (4000040, 4001999, "日本"),
    ]


def test_srt_and_vtt_look_as_players_want_them() -> None:
    transcript = one_segment("hallo", 3661.5, 3662.04)
    assert format_transcript(transcript, "srt") == "1\n01:01:01,500 --> 01:01:02,040\nhallo\n\n"
    assert format_transcript(transcript, "vtt") == "WEBVTT\n\n1\n01:01:01.500 --> 01:01:02.040\nhallo\n\n"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                " ",
                "\n",
                "\n\n2\n00:00:01,000 --> 00:00:02,000\n",
                "-->",
                "<i>",
                "<s>",
                "&",
                "{",
                "}",
                "\\N",
                "{\\p1}",
            ]
        ),
        min_size=1,
    ).map("".join)
)
def test_vtt_text_survives(text: str) -> None:
    transcript = Transcript("x", segments=(Segment(0, 0.0, 1.0, text), Segment(1, 1.0, 2.0, "next")))
    written = format_transcript(transcript, "vtt")
    cues = [cue.split("\n", 2)[2] for cue in written.removeprefix("WEBVTT\n\n").split("\n\n") if cue]
    wanted = " ".join(text.replace("\n", " ").split())
    assert "-->" not in "".join(cues)
    assert [" ".join(html.unescape(cue).replace("\u2060", "").split()) for cue in cues] == [
        *([wanted] if wanted else []),
        "next",
    ]


@pytest.mark.parametrize("text", ["a\n\nb", "a --> b", "1 < 2 & 3 > 2", "<s>hi</s>", "{\\an8}up", "c:\\Nord", "{x}"])
def test_srt_text_survives_but_for_line_breaks_and_arrows(text: str) -> None:
    written = format_transcript(one_segment(text), "srt")
    assert written.count("-->") == 1
    line = written.split("\n")[2]
    assert line.replace("\u2060", "") == text.replace("\n\n", " ").replace("-->", "->")
    assert len(pysubs2.SSAFile.from_string(written, format_="srt")) == 1


# lines and tables


def test_tsv_is_whole_milliseconds() -> None:
    rows = list(csv.reader(io.StringIO(format_transcript(FULL, "tsv")), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows == [["start", "end", "text"], ["500", "1200", "größe ja"], ["4000040", "4001999", "日本"]]


def test_tsv_keeps_its_columns_for_any_text() -> None:
    written = format_transcript(one_segment('"a\tb\r\nc\u2028d'), "tsv")
    assert written.splitlines()[1] == '0\t1000\t"a b c d'


def test_txt_has_a_line_for_each_segment() -> None:
    assert format_transcript(FULL, "txt") == "größe ja\n日本\n"
    assert format_transcript(with_timestamps(FULL, "none"), "txt") == "größe ja 日本\n"


def test_empty_transcripts_are_empty_files() -> None:
    written = {output_format: format_transcript(EMPTY, output_format) for output_format in OUTPUT_FORMATS}
    assert written["txt"] == written["srt"] == ""
    assert written["vtt"].strip() == "WEBVTT"
    assert written["tsv"] == "start\tend\ttext\n"
    assert json.loads(written["json"])["segments"] == []


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_write_goes_by_the_suffix(tmp_path: Path, output_format: str) -> None:
    path = tmp_path / f"a.{output_format.upper()}"
    FULL.write(path)
    assert path.read_bytes().decode("utf-8") == format_transcript(FULL, output_format)


def test_unknown_formats_and_dropped_times_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="output format 'doc' is not known; wanted one of txt, json"):
        FULL.write(tmp_path / "a.doc")
    with pytest.raises(ValueError, match="srt needs the times"):
        format_transcript(with_timestamps(FULL, "none"), "srt")


# levels


def test_levels_drop_what_is_deeper() -> None:
    assert with_timestamps(FULL, "none").segments == ()
    segment = with_timestamps(FULL, "segment").segments[0]
    assert (segment.words, segment.phones) == ((), ())
    segment = with_timestamps(FULL, "word").segments[0]
    assert [word.characters for word in segment.words] == [(), ()]
    assert segment.phones == ()
    segment = with_timestamps(FULL, "phone").segments[0]
    assert [word.characters for word in segment.words] == [(), ()]
    assert segment.phones == FULL.phones
    assert with_timestamps(FULL, "char") == FULL


def test_unknown_level_is_named() -> None:
    with pytest.raises(ValueError, match="timestamps is 'words'; wanted one of none, segment"):
        with_timestamps(FULL, "words")


# segments


def test_segments_end_at_pauses_and_at_their_longest() -> None:
    words = [
        Word("a", 0, 1, 0.5),
        Word("b", 1.5, 2, 0.5),
        Word("c", 3, 4, 0.5),
        Word("d", 4, 15, 0.5),
        Word("e", 15, 40),
    ]
    segments = split_segments(words, max_gap_seconds=0.8, max_seconds=12.0)
    assert [(s.id, s.text, s.start, s.end) for s in segments] == [
        (0, "a b", 0, 2),
        (1, "c d", 3, 15),
        (2, "e", 15, 40),
    ]
    assert segments[0].words == tuple(words[:2])
    assert segments[0].avg_logprob == pytest.approx(math.log(0.5))
    assert segments[2].avg_logprob is None


def test_mean_log_probability_counts_characters() -> None:
    long = Word("aaa", 0, 1, 0.5, tuple(Character("a", 0, 1) for _ in range(3)))
    (segment,) = split_segments([long, Word("b", 1, 2, 1.0, (Character("b", 1, 2),)), Word("c", 2, 3, 0.0)])
    assert segment.avg_logprob == pytest.approx((3 * math.log(0.5) + math.log(1e-10)) / 5)


def test_phones_become_the_phones_of_segments() -> None:
    (segment,) = split_segments([Word("oʊ", 0, 1, 0.5), Word("t", 1, 2, 0.5)], are_phones=True)
    assert (segment.text, segment.words) == ("oʊ t", ())
    assert segment.phones == (Phone("oʊ", 0, 1, 0.5), Phone("t", 1, 2, 0.5))


def test_no_words_are_no_segments() -> None:
    assert split_segments([]) == ()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 5)), max_size=20))
def test_every_word_is_in_one_segment(pauses_and_lengths: list[tuple[float, float]]) -> None:
    words, now = [], 0.0
    for pause, length in pauses_and_lengths:
        words.append(Word("w", now + pause, now + pause + length, 0.5))
        now += pause + length
    segments = split_segments(words)
    assert [word for segment in segments for word in segment.words] == words
    assert [segment.id for segment in segments] == list(range(len(segments)))
    assert all(s.end - s.start <= 12.0 or len(s.words) == 1 for s in segments)


def test_the_score_of_a_transcript_is_the_mean_of_its_units() -> None:
    words = [Word("a", 0, 1, 0.5), Word("b", 1, 2, 0.9), Word("c", 9, 9.5)]
    assert Transcript("a b c", segments=split_segments(words)).score == pytest.approx(0.7)
    phones = split_segments(words, are_phones=True)
    assert Transcript("a b c", segments=phones).score == pytest.approx(0.7)
    assert Transcript("a b c").score is None


@pytest.mark.parametrize("level", ["none", "segment", "word", "phone"])
def test_the_score_stays_where_times_are_dropped_and_in_json(level) -> None:
    words = (Word("a", 0, 1, 0.50049), Word("b", 1, 2, 0.90049))
    transcript = with_timestamps(Transcript("a b", segments=split_segments(words)), level)
    assert transcript.score == pytest.approx(0.7)
    fields = transcript.to_dict()
    assert fields["score"] == 0.7
    assert Transcript.from_dict(fields).to_dict() == fields


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_a_score_is_written_as_it_is_read_back(scores: list[float]) -> None:
    words = [Word("a", place, place + 1, score) for place, score in enumerate(scores)]
    fields = Transcript("a", segments=split_segments(words)).to_dict()
    assert Transcript.from_dict(fields).to_dict() == fields
    assert fields["score"] == pytest.approx(sum(scores) / len(scores), abs=0.0011)  # rounded twice


def test_calibrated_words_leave_the_mean_log_probability_to_their_characters() -> None:
    word = Word("ab", 0, 1, 0.9, (Character("a", 0, 0.5, 0.5), Character("b", 0.5, 1, 0.25)))
    (segment,) = split_segments([word])
    assert segment.avg_logprob == pytest.approx(math.log(0.5 * 0.25) / 2)
