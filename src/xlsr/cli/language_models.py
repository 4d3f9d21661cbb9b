"""Verbs that make, measure and convert language models, and let models use them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from xlsr.cli.app import app, introduce, usage, watched

Unit = Literal["word", "char"]
Layout = Literal["xlsr", "transformers"]

lm = App(name="lm", help="Make n-gram language models and score texts with them.")
app.command(lm)


@lm.command
def build(
    *paths: Annotated[Path, Parameter(name="TEXT... OUT")],
    order: int = 3,
    unit: Unit = "word",
    prune: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (0,),
    prune_entropy: float = 0.0,
    vocabulary: Path | None = None,
    vocab_size: int | None = None,
    lowercase: Annotated[bool, Parameter(negative="--keep_case")] = True,
    drop_punctuation: Annotated[bool, Parameter(negative="--keep_punctuation")] = True,
    space: str = "|",
    quantize: bool = False,
    memory_mib: int = 1024,
) -> int:
    """Estimate an n-gram language model from texts, one sentence a line: interpolated modified Kneser-Ney.

    Args:
        paths: the texts, plain or gzipped, - for stdin; then the model: .arpa, .arpa.gz, or .ngram, which loads at
            once.
        order: length of the longest n-grams.
        unit: word, or char for models of characters.
        prune: for orders 1, 2, ..., leave out n-grams that occur so often or less, as 0 0 1; the last is for all above.
        prune_entropy: leave out n-grams whose loss raises the perplexity by less than this share, such as 1e-7.
        vocabulary: a file with a word at the start of each line, such as a lexicon; all others become the unknown word.
        vocab_size: keep so many words (of the vocabulary), the commonest; all others become the unknown word.
        lowercase: count words in lower case.
        drop_punctuation: count words without punctuation and symbols.
        space: the symbol of the space in a model of characters.
        quantize: write a .ngram of three to five bytes an n-gram.
        memory_mib: for counting; what does not fit waits in temporary files.
    """
    from xlsr.decoding.ngram.build import build_lm

    if len(paths) < 2:
        return usage(f"lm build got {len(paths)} files; wanted at least one text, then the model to write")
    *texts, out = paths
    report = build_lm(
        [_text(path) for path in texts],
        out,
        order=order,
        unit=unit,
        prune=prune,
        prune_entropy=prune_entropy,
        vocabulary=vocabulary,
        vocab_size=vocab_size,
        lowercase=lowercase,
        drop_punctuation=drop_punctuation,
        space=space,
        quantize=quantize,
        memory_mib=memory_mib,
    )
    print(report)
    return 0


@lm.command
def score(
    model: Path,
    /,
    *texts: Path,
    sentences: bool = False,
    lowercase: Annotated[bool | None, Parameter(negative="--keep_case")] = None,
    drop_punctuation: Annotated[bool | None, Parameter(negative="--keep_punctuation")] = None,
    space: str = "|",
) -> int:
    """Score texts under a language model: log10 probability, perplexity with unknown words and without.

    Args:
        model: .arpa, .arpa.gz or .ngram.
        texts: one sentence a line, plain or gzipped; - for stdin.
        sentences: print a line for each sentence first: log10 probability, tokens, unknown ones.
        lowercase: score words in lower case; default: if the model counted them so, as its file may say, else yes.
        drop_punctuation: score words without punctuation and symbols; default: likewise.
        space: the symbol of the space in a model of characters.
    """
    from xlsr.decoding.ngram.score import score_lm

    if not texts:
        return usage("lm score got no text; wanted files, or - for stdin")
    found = score_lm(
        model, [_text(path) for path in texts], lowercase=lowercase, drop_punctuation=drop_punctuation, space=space
    )
    if sentences:
        for sentence in found.sentences:
            print(f"{sentence.log10_prob:.4f}\t{sentence.tokens}\t{sentence.unknown}")
    print(found)
    return 0


@lm.command
def convert(model: Path, out: Path, /, *, quantize: bool = False) -> int:
    """Write a language model in another format.

    Args:
        model: .arpa, .arpa.gz or .ngram; not a binary of KenLM, from which there is no way back.
        out: .arpa, .arpa.gz, or .ngram, which loads at once.
        quantize: write a .ngram of three to five bytes an n-gram: each probability becomes the nearest of 256.
    """
    from xlsr.decoding.ngram import NGram

    NGram.load(model).save(out, quantize=quantize)
    return 0


@lm.command
def attach(
    model: Path,
    lm: Path,
    /,
    *,
    lexicon: Path | None = None,
    lm_weight: float | None = None,
    word_score: float | None = None,
    unk_score: float | None = None,
    layout: Layout = "xlsr",
    language: str | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
) -> int:
    """Put a language model into a model folder, which then searches with it unless told otherwise.

    Args:
        model: a model folder.
        lm: .arpa, .arpa.gz or .ngram.
        lexicon: file of the words that can be heard, each with its spelling or without.
        lm_weight: factor of the language model's log-probabilities; lm tune finds one.
        word_score: added for each word, likewise.
        unk_score: added for each word that lexicon or language model do not know.
        layout: xlsr (lm.ngram, named in xlsr.json) or transformers (language_model/ as Wav2Vec2ProcessorWithLM reads
            it).
        language: for models of several vocabularies: the language model is for this one only.
        output: a new folder for a copy of the model, in place of its own.
    """
    from xlsr.checkpoint.decoder import attach_lm

    folder = attach_lm(
        model,
        lm,
        lexicon=lexicon,
        lm_weight=lm_weight,
        word_score=word_score,
        unk_score=unk_score,
        layout=layout,
        language=language,
        output=output,
    )
    print(folder)
    _warn_of_calibration(folder)
    return 0


@lm.command
def tune(
    manifest: Path,
    /,
    *,
    model: str = "default",
    lm: Path | None = None,
    lexicon: Path | None = None,
    split: str | None = None,
    beam_size: int = 100,
    lowercase: Annotated[bool, Parameter(negative="--keep_case")] = True,
    drop_punctuation: bool = False,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    language: str | None = None,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    device: str = "auto",
    threads: int = 0,
) -> int:
    """Find the lm_weight and word_score of fewest errors, and let the model's folder search with them from now on.

    Args:
        manifest: a JSON-lines list of recordings with what is said in them: a development set, not the one to report.
        model: a model folder; default is the model that ships with the package.
        lm: .arpa, .arpa.gz or .ngram, which goes into the folder; default: the one that it has.
        lexicon: file of the words that can be heard, likewise.
        split: take the rows of this split only.
        beam_size: prefixes that the search keeps.
        lowercase: compare words in lower case.
        drop_punctuation: compare words without punctuation and symbols.
        output: a new folder for a copy of the model, in place of its own.
        language: for models of several vocabularies.
        engine: openvino runs an exported graph, torch the weights.
        device: cpu, cuda, or auto.
        threads: CPU threads; 0 leaves the choice to the engine.
    """
    from xlsr.evaluation.tuning import tune_lm
    from xlsr.recognizer import load_model

    recognizer = load_model(model, engine=engine, device=device, language=language, threads=threads, decoder="greedy")
    introduce(recognizer)
    found = tune_lm(
        recognizer,
        manifest,
        lm=lm,
        lexicon=lexicon,
        split=split,
        beam_size=beam_size,
        lowercase=lowercase,
        drop_punctuation=drop_punctuation,
        output=output,
        threads=threads,
        progress=watched,
    )
    print(found.table().to_text())
    print(f"xlsr: {found.note}", file=sys.stderr)
    _warn_of_calibration(found.folder)
    for failure in found.failures:
        print(f"xlsr: {failure.error}", file=sys.stderr)
    return 1 if found.failures else 0


def _warn_of_calibration(folder: Path) -> None:
    """Say if a model's scores are calibrated for the best path only."""
    from xlsr.checkpoint.folder import read_description
    from xlsr.decoding.calibration import Calibration

    found = Calibration.from_extras(read_description(folder).extras, str(folder))
    if found is not None and not found.searched:
        print(
            "xlsr: the calibration of its scores is for the best path, and no longer counts; fit another: "
            f"xlsr evaluate MANIFEST --model {folder} --calibrate",
            file=sys.stderr,
        )


def _text(path: Path) -> str:
    return "-" if str(path) == "<stdin>" else str(path)  # a lone hyphen comes as the name of stdin
