"""The weight of a language model and the price of a word: those with which a development set has the fewest errors.

The network listens once; after that every trial costs a search alone. A coarse grid first, then smaller and smaller
steps around the best. Knows log-probabilities and texts; `checkpoint.decoder` stores what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from os import cpu_count
from pathlib import Path

from xlsr.checkpoint.copies import copy_model, writable_folder
from xlsr.checkpoint.decoder import store_decoder
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.ngram import NGram
from xlsr.decoding.options import BeamOptions
from xlsr.errors import AudioError, LanguageModelError, ManifestError
from xlsr.evaluation.runs import Task
from xlsr.metrics import ErrorCounts, Tokens, char_errors, word_errors
from xlsr.recognizer import Failure, Recognizer, load_model
from xlsr.stitching import LogProbs, Stretch
from xlsr.tables import Table

_LM_WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5)
_WORD_SCORES = (-1.0, 0.0, 1.0, 2.0)
_STEPS = ((0.125, 0.5), (0.0625, 0.25))  # around the best so far, until nothing is better
_MOST_MOVES = 8  # with each step: the surface is bumpy, and a development set is only a sample

Progress = Callable[[Iterator[LogProbs | Failure], int], Iterator[LogProbs | Failure]]
Errors = tuple[ErrorCounts, ErrorCounts]


@dataclass(frozen=True)
class Trial:
    """What a development set makes of two numbers.

    Attributes:
        lm_weight: factor of the language model.
        word_score: added for each word.
        errors: over words, or phones, and over characters, which decide between equals.
    """

    lm_weight: float
    word_score: float
    errors: Errors

    @property
    def rank(self) -> tuple[float, ...]:
        """What is to be small; of equal trials the one that is nearest to the usual numbers is the best."""
        usual = BeamOptions()
        away = abs(self.lm_weight - usual.lm_weight) + abs(self.word_score - usual.word_score)
        return self.errors[0].errors, self.errors[1].errors, away


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes:
        best: the trial with the fewest errors.
        trials: all, in the order in which they were made.
        greedy: errors of the best path.
        folder: that holds the best numbers now.
        failures: recordings that could not be read.
    """

    best: Trial
    trials: tuple[Trial, ...]
    greedy: Errors
    folder: Path
    failures: tuple[Failure, ...] = ()

    @property
    def note(self) -> str:
        """What was found, and where it lies."""
        useless = "; the language model has no part in it" if self.best.lm_weight == 0 else ""
        return (
            f"lm_weight {self.best.lm_weight:g} and word_score {self.best.word_score:g}, the best of "
            f"{len(self.trials)} trials, are stored in {self.folder / 'xlsr.json'}{useless}"
        )

    def table(self, *, rows: int = 10) -> Table:
        """Return the best trials below the best path."""
        ranked = sorted(self.trials, key=lambda trial: trial.rank)[:rows]
        shown = [(f"{t.lm_weight:g}", f"{t.word_score:g}", *_rates(t.errors)) for t in ranked]
        return Table(("lm_weight", "word_score", "WER", "CER"), (("best path", "", *_rates(self.greedy)), *shown))


def tune_lm(
    model: Recognizer | str | Path,
    manifest: Path | str,
    *,
    lm: Path | str | None = None,
    lexicon: Path | str | None = None,
    split: str | None = None,
    beam_size: int = 100,
    lowercase: bool = True,
    drop_punctuation: bool = False,
    output: Path | str | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> Tuned:
    """Find the `lm_weight` and `word_score` of fewest errors, and let the model's folder search with them from now on.

    Args:
        model: a recognizer, or what `load_model` takes.
        manifest: a JSON-lines list of utterances with what was said: a development set, not the one to report.
        lm: n-gram model, which goes into the folder; None: the one that it has.
        lexicon: file of the words that can be heard, likewise.
        split: take the rows of this split only.
        beam_size: as in `BeamOptions`.
        lowercase: compare words in lower case.
        drop_punctuation: compare words without punctuation and symbols.
        output: a new folder for a copy of the model, in place of its own.
        threads: that search at once; 0: as many as there are cores.
        progress: wraps what the network hears of each recording, given their number, such as with a progress bar.

    Raises:
        ManifestError: the manifest cannot be read, or none of its recordings has a text and can be read.
        LanguageModelError: there is no language model, or it does not fit the model.
        CheckpointError: nothing can be stored beside the model, or not in `output`.
    """
    recognizer = model if isinstance(model, Recognizer) else load_model(model, decoder="greedy")
    folder = writable_folder(recognizer.description, output, "a decoder")
    options = replace(_options(recognizer, lm, lexicon), beam_size=beam_size)
    is_text = not recognizer.tokenizer.is_phones or options.lexicon is not None
    utterances = tuple(read_manifest(manifest, split=split))
    tokens: Tokens = "words" if is_text else "phones"
    task = Task(str(manifest), split, utterances, tokens, (), lowercase and is_text, drop_punctuation and is_text)
    heard, references, failures = _listen(recognizer, task, progress)
    errors = partial(_errors, task=task, heard=heard, references=references, threads=threads or cpu_count() or 1)

    @cache
    def attempt(lm_weight: float, word_score: float) -> Trial:
        decoder = replace(options, lm_weight=lm_weight, word_score=word_score)
        return Trial(lm_weight, word_score, errors(recognizer.with_decoder(decoder)))

    best, trials = _search(attempt)
    copy_model(recognizer.description, folder)
    numbers = {"lm_weight": best.lm_weight, "word_score": best.word_score, "beam_size": beam_size}
    store_decoder(folder, numbers, lm=lm, lexicon=lexicon, language=recognizer.tokenizer.language)
    return Tuned(best, trials, errors(recognizer.with_decoder("greedy")), folder, failures)


def _options(recognizer: Recognizer, lm: Path | str | None, lexicon: Path | str | None) -> BeamOptions:
    """The options to tune, with files that are read once and not at every trial."""
    options = recognizer.beam_options if lm is None else recognizer.beam_options.with_lm(lm)
    if lexicon is not None:
        options = replace(options, lexicon=lexicon)
    if options.lm is None:
        raise LanguageModelError(
            f"{recognizer.description.name} has no language model, and none was given: make one (xlsr lm build)"
        )
    if isinstance(options.lexicon, str | Path):
        options = replace(options, lexicon=Lexicon.from_file(options.lexicon, recognizer.tokenizer))
    return replace(options, lm=NGram.load(options.lm)) if isinstance(options.lm, str | Path) else options


def _listen(
    recognizer: Recognizer, task: Task, progress: Progress | None
) -> tuple[list[LogProbs], list[str], tuple[Failure, ...]]:
    """Return log-probabilities and references of what can be read and has a reference, and what cannot."""

    def results() -> Iterator[LogProbs | Failure]:
        for utterance in task.utterances:
            if task.reference(utterance) is None:
                yield Failure(utterance.name, f"{utterance.name} has no {task.key} to compare with")
                continue
            try:
                yield recognizer.log_probs(load_utterance(utterance))
            except AudioError as error:
                yield Failure(utterance.name, str(error))

    found = list(progress(results(), len(task.utterances)) if progress else results())
    heard = [one for one in found if not isinstance(one, Failure)]
    failures = tuple(one for one in found if isinstance(one, Failure))
    if not heard:
        why = f"; the first: {failures[0].error}" if failures else ""
        raise ManifestError(f"no recording of {task.manifest} can be heard and has {task.key}{why}")
    pairs = zip(task.utterances, found, strict=True)
    references = [task.reference(one) or "" for one, result in pairs if not isinstance(result, Failure)]
    return heard, references, failures


def _errors(
    recognizer: Recognizer, *, task: Task, heard: Sequence[LogProbs], references: Sequence[str], threads: int
) -> Errors:
    """Decode everything, and count errors over words or phones, and over characters."""

    def decoded(log_probs: LogProbs) -> str:
        segments = recognizer.reader.segments([Stretch(0, log_probs)], "segment")
        return task.normalize(recognizer.reader.joiner.join(segment.text for segment in segments))

    with ThreadPoolExecutor(threads) as pool:  # a compiled search holds no lock
        texts = list(pool.map(decoded, heard))
    pairs = [*zip(references, texts, strict=True)]
    words, characters = ([count(a, b) for a, b in pairs] for count in (word_errors, char_errors))
    return sum(words[1:], words[0]), sum(characters[1:], characters[0])


def _search(attempt: Callable[[float, float], Trial]) -> tuple[Trial, tuple[Trial, ...]]:
    """Return the best trial, and all."""
    trials = [attempt(*point) for point in product(_LM_WEIGHTS, _WORD_SCORES)]
    best = min(trials, key=lambda trial: trial.rank)
    for weight, score in _STEPS:
        for _ in range(_MOST_MOVES):
            around = [
                attempt(best.lm_weight + a * weight, best.word_score + b * score)
                for a, b in product((-1, 0, 1), repeat=2)
                if best.lm_weight + a * weight >= 0
            ]
            trials += [trial for trial in around if trial not in trials]
            nearest = min(around, key=lambda trial: trial.rank)
            if nearest.rank >= best.rank:
                break
            best = nearest
    return best, tuple(trials)


def _rates(errors: Errors) -> tuple[str, str]:
    return f"{errors[0].rate:.2%}", f"{errors[1].rate:.2%}"
