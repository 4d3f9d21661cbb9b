"""`build_lm` and `score_lm`: texts, vocabularies, options, files that are refused, and the command line."""

import gzip
import math
import os
import subprocess
import sys
from pathlib import Path

import kenlm
import pytest

from xlsr import cli
from xlsr.decoding.ngram import NGram
from xlsr.decoding.ngram.build import build_lm
from xlsr.decoding.ngram.score import score_lm
from xlsr.errors import LanguageModelError
from xlsr.normalize import normalize_text

TEXT = """\ufeffThe cat -- the CAT! -- sat.

The dog's cat sat on the mat.
A dog sat; a dog ran.
"""


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path


def test_texts_are_normalised_as_is_said(text, tmp_path) -> None:
    report = build_lm([text], tmp_path / "lm.arpa")
    model = NGram.load(tmp_path / "lm.arpa")
    assert model.words[:3] == ("<unk>", "<s>", "</s>")
    assert model.words[3:] == ("the", "cat", "sat", "a", "dog", "dog's", "mat", "on", "ran"), "the commonest first"
    assert (report.sentences, report.tokens, report.unknown) == (3, 18, 0)
    assert report.normalization == "NFC, single spaces, lower case, punctuation dropped"
    assert "text: NFC, single spaces, lower case, punctuation dropped" in model.comment
    assert f"{report.path}: 0.0 MB" in str(report)


def test_case_and_punctuation_can_be_kept(text, tmp_path) -> None:
    build_lm([text], tmp_path / "lm.ngram", lowercase=False, drop_punctuation=False)
    assert {"The", "the", "CAT!", "--", "sat;"} <= {*NGram.load(tmp_path / "lm.ngram").words}


def test_characters_have_a_symbol_for_the_space(text, tmp_path) -> None:
    build_lm([text], tmp_path / "lm.arpa", unit="char", order=5)
    model = NGram.load(tmp_path / "lm.arpa")
    assert model.unit == "char"
    assert {*model.words} == {"<unk>", "<s>", "</s>", "|", *"acdeghmnorst'"}
    assert model.score("the|cat") > model.score("tac|eht")
    build_lm([text], tmp_path / "other.ngram", unit="char", space="▁")
    assert "▁" in NGram.load(tmp_path / "other.ngram").words


def test_gzipped_texts_and_stdin_are_read(text, tmp_path, monkeypatch) -> None:
    packed = tmp_path / "text.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    with text.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        found = [build_lm([source], tmp_path / "lm.arpa").found for source in (text, packed, "-")]
        assert stdin.buffer.read() == b"", "open, and read to its end"
    assert found[0] == found[1] == found[2]
    assert build_lm([text, packed], tmp_path / "lm.arpa").sentences == 6


@pytest.mark.parametrize(
    ("options", "words", "unknown"),
    [
        ({"vocab_size": 3}, {"cat", "sat", "the"}, 8),
        ({"vocabulary": ["CAT k ae t", "", "zebra z", "dog's"]}, {"cat", "zebra", "dog's"}, 14),
        ({"vocabulary": ["cat", "the", "zebra"], "vocab_size": 1}, {"the"}, 14),
    ],
)
def test_words_outside_the_vocabulary_become_the_unknown_word(options, words, unknown, text, tmp_path) -> None:
    if "vocabulary" in options:
        (tmp_path / "words").write_text("\n".join(options["vocabulary"]))
        options = options | {"vocabulary": tmp_path / "words"}
    report = build_lm([text], tmp_path / "lm.arpa", **options)
    model = NGram.load(tmp_path / "lm.arpa")
    assert {*model.words[3:]} == words
    assert report.unknown == unknown
    assert model.score(["elephant"]) == model.score(["<unk>"])


def test_little_memory_gives_the_same_model(corpora, tmp_path) -> None:
    texts = [corpora / "text" / name for name in ("eng_genesis.txt", "fra_genesis.txt")]
    options = {"order": 4, "prune": (0, 0, 1), "prune_entropy": 1e-7}
    build_lm(texts, tmp_path / "much.arpa", **options)
    build_lm(texts, tmp_path / "little.arpa", **options, memory_mib=1)
    assert (tmp_path / "little.arpa").read_bytes() == (tmp_path / "much.arpa").read_bytes()


def test_orders_of_which_nothing_is_left_are_no_part_of_the_model(text, tmp_path) -> None:
    report = build_lm([text], tmp_path / "lm.arpa", order=5, prune=(0, 0, 9))
    assert len(report.found) == 5
    assert len(report.kept) == 2
    assert NGram.load(tmp_path / "lm.arpa").order == 2
    assert kenlm.Model(os.fspath(tmp_path / "lm.arpa")).order == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"order": 0}, "order is 0; wanted 1 to 20"),
        ({"prune": (0, 2, 1)}, "prune is 0 2 1; wanted"),
        ({"prune": (1,)}, "prune is 1; wanted"),
        ({"prune": (0, 0, 0, 0)}, "prune is 0 0 0 0; wanted"),
        ({"prune": ()}, "prune is"),
        ({"prune_entropy": -1.0}, "prune_entropy is -1.0"),
        ({"prune_entropy": math.nan}, "prune_entropy is nan"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"memory_mib": 0}, "memory_mib is 0"),
        ({"space": "a b"}, "space is 'a b'"),
        ({"quantize": True}, "lm.arpa cannot hold quantised values"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options, problem, text, tmp_path) -> None:
    with pytest.raises(LanguageModelError, match=problem):
        build_lm([text], tmp_path / "lm.arpa", **options)
    assert not (tmp_path / "lm.arpa").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the texts have no words"),
        (b"\n ... \n", "the texts have no words"),
        (b"fine\nna\xefve\n", "line 2, is not UTF-8.*convert it: iconv"),
        (gzip.compress(b"cut off here\n" * 99)[:-9], "is a damaged gzip file"),
    ],
    ids=["empty", "punctuation", "latin-1", "gzip"],
)
def test_texts_that_cannot_be_read_are_refused(content, problem, tmp_path) -> None:
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(LanguageModelError, match=problem):
        build_lm([tmp_path / "bad.txt"], tmp_path / "lm.arpa")
    with pytest.raises(LanguageModelError, match=r"\.xyz is no name for a language model"):
        build_lm([tmp_path / "bad.txt"], tmp_path / "lm.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.txt"]


def test_marks_of_sentences_in_a_text_are_refused(tmp_path) -> None:
    (tmp_path / "text").write_text("a <unk> b\n<s> a b </s>\n")
    with pytest.raises(LanguageModelError, match="line 2, has the word <s> or </s>"):
        build_lm([tmp_path / "text"], tmp_path / "lm.arpa", drop_punctuation=False)
    (tmp_path / "text").write_text("a <unk> b\n")
    assert build_lm([tmp_path / "text"], tmp_path / "lm.arpa", drop_punctuation=False).unknown == 1


def test_perplexities_are_kenlms(corpora, tmp_path) -> None:
    build_lm([corpora / "text" / "eng_genesis.txt"], tmp_path / "lm.arpa")
    text = corpora / "text" / "udhr" / "eng.txt"
    found = score_lm(tmp_path / "lm.arpa", [text])
    theirs = kenlm.Model(os.fspath(tmp_path / "lm.arpa"))
    total = known = 0.0
    tokens = unknown = 0
    for line in text.read_text("utf-8").splitlines():
        words = normalize_text(line, drop_punctuation=True).split()
        for log10, _, outside in theirs.full_scores(" ".join(words)) if words else ():
            total, tokens = total + log10, tokens + 1
            known, unknown = (known, unknown + 1) if outside else (known + log10, unknown)
    assert (found.tokens, found.unknown) == (tokens, unknown)
    assert unknown > 0
    assert found.log10_prob == pytest.approx(total, rel=1e-5)
    assert found.perplexity == pytest.approx(10 ** (-total / tokens), rel=1e-4)
    assert found.known_perplexity == pytest.approx(10 ** (-known / (tokens - unknown)), rel=1e-4)


def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xlsr", "lm", *map(os.fspath, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=300)


def test_the_command_line_builds_and_scores(text, tmp_path) -> None:
    built = run("build", text, "-", tmp_path / "lm.ngram", "--order", "4", "--prune", "0", "0", "1", stdin=TEXT)
    assert built.returncode == 0, built.stderr
    assert built.stdout.startswith("6 sentences, 36 words (NFC")
    scored = run("score", tmp_path / "lm.ngram", text, "--sentences")
    assert scored.returncode == 0, scored.stderr
    wanted = score_lm(tmp_path / "lm.ngram", [text])
    assert scored.stdout.splitlines()[0] == f"{wanted.sentences[0].log10_prob:.4f}\t5\t0"
    assert scored.stdout.endswith(f"{wanted}\n")


def test_the_command_line_converts(text, tmp_path) -> None:
    build_lm([text], tmp_path / "lm.arpa")
    names = [str(tmp_path / name) for name in ("lm.arpa", "lm.ngram", "again.arpa.gz")]
    assert cli.app(["lm", "convert", *names[:2], "--quantize"], result_action="return_value") == 0
    assert cli.app(["lm", "convert", *names[1:]], result_action="return_value") == 0
    first, last = (score_lm(name, [text]).log10_prob for name in (names[0], names[2]))
    assert last == pytest.approx(first, abs=1e-3), "fewer than 256 values each"


@pytest.mark.parametrize("arguments", [["build"], ["build", "lm.arpa"], ["score", "lm.arpa"]], ids=" ".join)
def test_a_call_without_texts_is_a_usage_error(arguments, capsys) -> None:
    assert cli.app(["lm", *arguments], result_action="return_value") == 2
    assert "wanted" in capsys.readouterr().err


def test_a_missing_text_is_told_before_work_begins(text, tmp_path) -> None:
    with pytest.raises(LanguageModelError, match="nowhere is not there"):
        build_lm([text, tmp_path / "nowhere"], tmp_path / "lm.arpa")


def test_texts_are_scored_as_they_were_counted(tmp_path) -> None:
    (tmp_path / "text.txt").write_text("The Cat, sat\nThe Mat sat!\n" * 5)
    for options in ({}, {"lowercase": False}, {"lowercase": False, "drop_punctuation": False}):
        build_lm([tmp_path / "text.txt"], tmp_path / "lm.arpa", order=2, **options)
        found = score_lm(tmp_path / "lm.arpa", [tmp_path / "text.txt"])
        assert found.unknown == 0
        assert found.normalization == score_lm(tmp_path / "lm.arpa", [tmp_path / "text.txt"], **options).normalization
    assert score_lm(tmp_path / "lm.arpa", [tmp_path / "text.txt"], lowercase=True).unknown > 0


def test_what_is_not_there_is_refused(tmp_path) -> None:
    (tmp_path / "text.txt").write_text("a b\n")
    with pytest.raises(LanguageModelError, match=r"none\.txt is not there, or no file; wanted a text"):
        build_lm([tmp_path / "none.txt"], tmp_path / "lm.arpa")
    with pytest.raises(LanguageModelError, match="is not there"):
        NGram.load(tmp_path / "none.arpa")
    with pytest.raises(LanguageModelError, match="is not there"):
        score_lm(tmp_path, [tmp_path / "text.txt"])
