"""The utterances of a manifest through a recognizer: each is scored against what was said, or fails with a reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xlsr.audio import SAMPLE_RATE
from xlsr.data.manifest import Utterance, load_utterance
from xlsr.errors import AudioError
from xlsr.evaluation.calibrating import Observer, WordNotes
from xlsr.metrics import Key, Scored, ScoredWord, Tokens, judge
from xlsr.normalize import describe_scoring, normalize_text
from xlsr.recognizer import Failure, Recognizer
from xlsr.results import Phone, Transcript, Word

Results = Iterator[Transcript | Failure]
Progress = Callable[[Results, int], Results]


@dataclass(frozen=True)
class Task:
    """The utterances to transcribe, and the rule by which texts are compared."""

    manifest: str
    split: str | None
    utterances: tuple[Utterance, ...]
    tokens: Tokens
    by: tuple[Key, ...]
    lowercase: bool
    drop_punctuation: bool
    joiner: str = " "  # between two words of what the models write

    @property
    def key(self) -> str:
        """The manifest's key that holds what was said."""
        return "text" if self.tokens == "words" else "phones"

    @property
    def normalization(self) -> str:
        """What `normalize` does."""
        return describe_scoring(lowercase=self.lowercase, drop_punctuation=self.drop_punctuation)

    def normalize(self, text: str) -> str:
        """The form in which references and hypotheses are compared."""
        return normalize_text(text, lowercase=self.lowercase, drop_punctuation=self.drop_punctuation)

    def units(self, text: str) -> list[str]:
        """The words of a text; of scripts without spaces, its characters."""
        return text.split() if self.joiner else [character for character in text if not character.isspace()]

    def reference(self, utterance: Utterance) -> str | None:
        """What was said, or None where the manifest does not tell."""
        text = utterance.text if self.key == "text" else utterance.phones
        return None if text is None else self.normalize(text)


@dataclass(frozen=True)
class Run:
    """What one model made of each utterance of a task, in their order.

    Attributes:
        outcomes: for each utterance.
        seconds: that it took.
        notes: of the words of an utterance, by its place, where an observer took any.
    """

    outcomes: tuple[Scored | Failure, ...]
    seconds: float
    notes: Mapping[int, tuple[WordNotes, ...]] = field(default_factory=dict)


def run(
    recognizer: Recognizer,
    task: Task,
    *,
    batch_seconds: float,
    progress: Progress | None,
    observer: Observer | None = None,
) -> Run:
    """Transcribe all utterances; those that fail do not stop the others."""
    outcomes: dict[int, Scored | Failure] = {}
    notes: dict[int, tuple[WordNotes, ...]] = {}
    given: list[tuple[int, float]] = []

    def waveforms() -> Iterator[NDArray[np.float32]]:
        for place, utterance in enumerate(task.utterances):
            if task.reference(utterance) is None:
                outcomes[place] = Failure(utterance.name, f"{utterance.name} has no {task.key} to compare with")
                continue
            try:
                waveform = load_utterance(utterance)
            except AudioError as error:
                outcomes[place] = Failure(utterance.name, str(error))
                continue
            given.append((place, len(waveform) / SAMPLE_RATE))
            yield waveform

    started = time.perf_counter()
    results: Results = recognizer.transcribe_many(waveforms(), batch_seconds=batch_seconds, timestamps="phone")
    for number, result in enumerate(progress(results, len(task.utterances)) if progress else results):
        place, seconds = given[number]  # results come in the order of the waveforms
        outcomes[place] = _outcome(task, task.utterances[place], seconds, result)
        if observer is not None and isinstance(result, Transcript):
            units = result.words or result.phones
            notes[place] = observer.take(len(units))
            assert [note.text for note in notes[place]] == [unit.text for unit in units]
    elapsed = time.perf_counter() - started
    return Run(tuple(outcomes[place] for place in range(len(task.utterances))), elapsed, notes)


def _outcome(task: Task, utterance: Utterance, seconds: float, result: Transcript | Failure) -> Scored | Failure:
    if isinstance(result, Failure):
        return Failure(utterance.name, result.error.replace(result.audio, utterance.name))
    reference = task.reference(utterance)
    assert reference is not None
    units: tuple[Word | Phone, ...] = result.words or result.phones
    parts = [task.normalize(unit.text).split() for unit in units]
    return Scored(
        name=utterance.name,
        reference=reference,
        hypothesis=task.normalize(result.text),
        duration=round(seconds, 3),
        speaker=utterance.speaker,
        language=utterance.language,
        split=utterance.split,
        domain=utterance.domain,
        score=_rounded(result.score),
        words=tuple(
            ScoredWord(" ".join(part), _rounded(unit.score), right)
            for unit, part, right in zip(units, parts, judge(task.units(reference), parts), strict=True)
            if right is not None
        ),
    )


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
