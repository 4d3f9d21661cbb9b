"""Faults that show only in comparison: rates of speech, lengths, duplicates, and what leaks between splits.

Knows rows and what was heard of them; reads nothing. Floor 2; NumPy only.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np

from xlsr.audio import SAMPLE_RATE
from xlsr.config import Wav2Vec2Config
from xlsr.data.checks_audio import Measurement
from xlsr.data.findings import Finding
from xlsr.data.rows import Row, about_corpus, by_language
from xlsr.normalize import normalize_text

# What fine-tuning takes by default; the network itself takes any length.
_MIN_SECONDS, _MAX_SECONDS = 0.1, 30.0
# Labels per frame. The fastest of real speech (single digits, cut tightly) has 0.6; 25 letters a second are 0.5.
_CROWDED = 0.75
# Robust deviations of log(labels a second) from the median of the language, and the factor; both must be exceeded. The
# fastest of 52 real languages: Tamil 4.0 and 1.95, vocalised Arabic 3.8 and 3.0. MAD / 0.6745 estimates the deviation.
_FAST_DEVIATIONS, _FAST_FACTOR = 4.5, 2.2
# Slow speech is judged by its sound alone, for a single word in a long pause is right. The slowest that is, halting
# readers of English: 4.5 deviations and a factor of 3.4 below, in 12 s.
_SLOW_DEVIATIONS, _SLOW_FACTOR = 5.0, 5.0
_MIN_DEVIATION = 0.1  # of log(rate): one practised reader
_MIN_RATES = 20  # rows of a language that can be compared
_MIN_SOUND_SECONDS = 3.0  # of slow speech; below, a word and a cough
# Short answers are said by many people; a sentence of four words is written by one.
_MIN_LEAK_WORDS, _MIN_LEAK_CHARS = 4, 20
# Kinds that make a length or a rate of speech wrong, and are the better thing to say.
_EXPLAINING = {"unreadable_audio", "truncated_audio", "nan_audio", "silent_audio", "wrong_rate", "empty_text"}
# Of the rows on one side: above it, splits share by design (a closed set of prompts, one speaker).
_BY_DESIGN, _MIN_DESIGN = 0.5, 20


def corpus_findings(
    rows: Sequence[Row], against: Sequence[Row], heard: Mapping[Row, Measurement], known: Sequence[Finding]
) -> list[Finding]:
    """Compare the rows with each other, and with those of other manifests.

    Args:
        rows: of the manifest.
        against: rows of other manifests, which it must share nothing with.
        heard: what was heard of either; empty where no audio was read.
        known: what was found so far: a recording cut off need not be told to be short.
    """
    told = {finding.line for finding in known if finding.code in _EXPLAINING and finding.severity != "note"}
    findings = [*_lengths(rows, heard), *_fits(rows, heard)]
    findings = [finding for finding in findings if finding.severity == "error" or finding.line not in told]
    told |= {finding.line for finding in findings if finding.code != "duration_outlier"}
    for language, group in by_language([row for row in rows if row.text.strip() and row.line not in told]).items():
        findings += _rates(group, heard, language or "the corpus")
    train, held = (rows, against) if against else _by_split(rows)
    leaks = list(_audio_leaks(train, held, heard))
    leaking = {finding.line for finding in leaks}
    train = [row for row in train if row.line not in leaking]
    speakers = _speaker_leaks(train, held) if against else _speaker_leaks(held, train)
    return [*findings, *_duplicates(rows, heard), *leaks, *_text_leaks(train, held), *speakers]


def _by_split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    return [row for row in rows if not row.held_out], [row for row in rows if row.held_out]


def _seconds(row: Row, heard: Mapping[Row, Measurement]) -> float:
    measured = heard.get(row)
    return measured.seconds if measured else row.utterance.duration


def _lengths(rows: Sequence[Row], heard: Mapping[Row, Measurement]) -> Iterator[Finding]:
    """Rows that fine-tuning drops; pre-training cuts what is long."""
    longest = _MAX_SECONDS if any(row.text or row.utterance.phones for row in rows) else np.inf
    for row in rows:
        seconds = _seconds(row, heard)
        if row.is_speech and not _MIN_SECONDS <= seconds <= longest:
            found = f"{row.utterance.audio.name} has {seconds:.2f} s; {_MIN_SECONDS} to {longest} are wanted"
            yield row.finding("duration_outlier", f"{found}, or fine-tuning drops it: cut it, or change data.*_seconds")


def _fits(rows: Sequence[Row], heard: Mapping[Row, Measurement]) -> Iterator[Finding]:
    """Hold the labels that CTC needs against the frames that there are."""
    config = Wav2Vec2Config()
    for row in rows:
        frames = config.num_frames(int(_seconds(row, heard) * SAMPLE_RATE + 0.5))
        for labels, unit in (
            (normalize_text(row.text), "characters"),
            ((row.utterance.phones or "").split(), "phones"),
        ):
            # A repeated label needs a blank between: one more frame.
            repeats = sum(a == b for a, b in itertools.pairwise(labels))
            name = row.utterance.audio.name
            got = f"{len(labels)} {unit} and {repeats} repeats want as many frames; {name} has {frames}"
            if len(labels) + repeats > frames:
                cure = "see whether text and audio belong together, or cut them in pieces"
                yield row.finding("too_many_labels", f"{got}: {cure}")
            elif len(labels) + repeats > _CROWDED * frames:
                yield row.finding("implausible_rate", f"{got}, nearly too few: see whether they belong together")


def _rates(group: Sequence[Row], heard: Mapping[Row, Measurement], name: str) -> Iterator[Finding]:
    """Rows whose letters a second are far from those of their language."""
    if len(group) < _MIN_RATES:
        return
    counts = np.array([len(normalize_text(row.text)) for row in group], float)
    seconds = np.array([max(_seconds(row, heard), 0.02) for row in group])
    shares = np.array([heard[row].sound_share if row in heard else 1.0 for row in group])
    sound = np.maximum(seconds * shares, 0.02)
    fast, slow = _deviations(counts / seconds), _deviations(counts / sound)
    for row, count, length, loud, up, down in zip(group, counts, seconds, sound, fast, slow, strict=True):
        if up[0] > _FAST_DEVIATIONS and up[1] > _FAST_FACTOR:
            got = f"{count:.0f} characters in {length:.2f} s are {up[1]:.1f} times the usual rate of {name}"
            yield row.finding("implausible_rate", f"{got}: is more written than said, or the audio cut?")
        elif down[0] < -_SLOW_DEVIATIONS and down[1] < 1 / _SLOW_FACTOR and loud > _MIN_SOUND_SECONDS:
            got = f"{count:.0f} characters in {loud:.2f} s of sound are {down[1]:.2f} of the usual rate of {name}"
            yield row.finding("implausible_rate", f"{got}: is more said than written?")


def _deviations(rates: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[tuple[float, float]]:
    """Of each rate: robust deviations of its logarithm from the median, and its ratio to the median."""
    logs = np.log(rates)
    middle = np.median(logs)
    spread = max(float(np.median(np.abs(logs - middle))) / 0.6745, _MIN_DEVIATION)
    return [(float(log - middle) / spread, float(np.exp(log - middle))) for log in logs]


def _duplicates(rows: Sequence[Row], heard: Mapping[Row, Measurement]) -> Iterator[Finding]:
    """Rows whose samples an earlier row has already; where no audio was read, rows that name the same stretch."""
    first: dict[Hashable, Row] = {}
    for row in rows:
        measured = heard.get(row)
        if measured is not None and measured.silent:
            continue
        named = (row.utterance.audio, row.utterance.offset, row.utterance.duration)
        key = (row.held_out, measured.content if measured else named)  # across splits it is a leak
        earlier = first.setdefault(key, row)
        if earlier is row:
            continue
        where = f"{row.utterance.audio.name} is the recording of line {earlier.line} ({earlier.utterance.audio.name})"
        if _spoken(row) == _spoken(earlier):
            yield row.finding("duplicate_audio", f"{where}; once is enough: remove one")
        else:
            got = f"{where}, which says {earlier.text!r} where this says {row.text!r}"
            yield row.finding("contradictory_text", f"{got}; one is wrong: listen, and remove it")


def _spoken(row: Row) -> str:
    """The words of a text alone, so that case and punctuation make no difference."""
    text = normalize_text(row.text)
    return " ".join("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text).split())


def _audio_leaks(train: Sequence[Row], held: Sequence[Row], heard: Mapping[Row, Measurement]) -> Iterator[Finding]:
    """Training rows whose samples are held out; never by design, so each is told."""

    def content(row: Row) -> str | None:
        measured = heard.get(row)
        return measured.content if measured and not measured.silent else None

    for row, other in _shared(train, held, content):
        found = f"{row.utterance.audio.name} is the held-out recording {other.utterance.audio.name}"
        yield row.finding("audio_leak", f"{found}; tests want unheard ones: remove it from training")


def _text_leaks(train: Sequence[Row], held: Sequence[Row]) -> Iterator[Finding]:
    """Training rows whose sentence is held out."""
    pairs = _shared(train, held, _sentence)
    candidates = sum(_sentence(row) is not None for row in train)
    if candidates >= _MIN_DESIGN and len(pairs) > _BY_DESIGN * candidates:
        found = f"{len(pairs)} of {candidates} training sentences are held out too"
        yield about_corpus("text_leak", f"{found}: a closed set of prompts; figures tell nothing of new sentences")
        return
    for row, other in pairs:
        found = f"the sentence {row.text!r} is held out too (line {other.line}, {other.utterance.audio.name})"
        yield row.finding("text_leak", f"{found}; tests want new ones: remove it from training")


def _speaker_leaks(rows: Sequence[Row], others: Sequence[Row]) -> Iterator[Finding]:
    """Rows whose speaker is also on the other side."""
    pairs = _shared(rows, others, lambda row: row.utterance.speaker)
    candidates = sum(bool(row.utterance.speaker) for row in rows)
    if candidates >= _MIN_DESIGN and len(pairs) > _BY_DESIGN * candidates:
        found = f"the speakers of {len(pairs)} of {candidates} rows are on both sides of the splits"
        yield about_corpus("speaker_leak", f"{found}; figures tell nothing of new speakers")
        return
    for row, other in pairs:
        found = f"speaker {row.utterance.speaker} is in training and held out ({other.utterance.audio.name})"
        yield row.finding("speaker_leak", f"{found}; tests want new ones: move all of a speaker to one split")


def _shared(rows: Sequence[Row], others: Sequence[Row], key: Callable[[Row], str | None]) -> list[tuple[Row, Row]]:
    """Rows whose key one of the others has, each with the first of these."""
    there: dict[str, Row] = {}
    for other in others:
        if value := key(other):
            there.setdefault(value, other)
    return [(row, there[value]) for row in rows if (value := key(row)) in there and value]


def _sentence(row: Row) -> str | None:
    """The words of a text, if they are many enough to be no one's by chance."""
    spoken = _spoken(row)
    return spoken if len(spoken.split()) >= _MIN_LEAK_WORDS or len(spoken) >= _MIN_LEAK_CHARS else None
