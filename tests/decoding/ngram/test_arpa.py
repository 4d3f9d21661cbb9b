"""ARPA files: what others write is read, what is written comes back, what is malformed is told with its line."""

import gzip
import os
from pathlib import Path

import kenlm
import pytest

from tests.decoding.ngram.test_lookup import GAPS, SMALL, written
from xlsr.decoding.ngram import NGram
from xlsr.errors import LanguageModelError

SENTENCES = ["", "a", "a b", "c a b", "b a x c a b"]


def scores(model: NGram) -> list[float]:
    return [model.score(text.split()) for text in SENTENCES]


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("text", [SMALL, GAPS], ids=["closed", "gaps"])
def test_what_is_written_comes_back(text, name, tmp_path) -> None:
    model = NGram.load(written(tmp_path, text))
    model.save(tmp_path / f"copy-{name}")
    again = NGram.load(tmp_path / f"copy-{name}")
    assert again.words == model.words
    assert again.counts == model.counts
    assert again.unit == "char"
    assert scores(again) == pytest.approx(scores(model), abs=1e-5)  # seven digits
    if not name.endswith("gz"):
        theirs = kenlm.Model(os.fspath(tmp_path / f"copy-{name}"))
        wanted = [theirs.score(text) * 2.302585092994046 for text in SENTENCES]
        assert scores(model) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "made by a tool\n\n" + text,
        lambda text: text.replace("\t", " "),
        lambda text: text.replace("<unk>", "<UNK>"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("ngram 1=", "ngram  1 = "),
        lambda text: text.replace("\\2-grams:", "\n\n\\2-grams:"),
    ],
    ids=["crlf", "preamble", "spaces", "UNK", "no last newline", "spaces in counts", "empty lines"],
)
def test_what_other_tools_write_is_read(change, tmp_path) -> None:
    wanted = scores(NGram.load(written(tmp_path, SMALL)))
    (tmp_path / "other.arpa").write_bytes(change(SMALL).encode())
    assert scores(NGram.load(tmp_path / "other.arpa")) == wanted


def test_without_an_unknown_word_there_is_one_as_kenlm_has_it(tmp_path) -> None:
    path = written(tmp_path, SMALL.replace("-2.0\t<unk>\n", "").replace("ngram 1=6", "ngram 1=5"))
    model = NGram.load(path)
    assert model.words[model.unk_id] == "<unk>"
    assert model.score("x", bos=False, eos=False) == pytest.approx(-100 * 2.302585092994046)
    assert model.score("ax") == pytest.approx(kenlm.Model(os.fspath(path)).score("a x") * 2.302585092994046, abs=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("\\data\\", "\\dada\\", "is no ARPA file: none of its 25 lines is `\\data\\`"),
        ("ngram 2=5", "ngram 3=5", "line 3, is 'ngram 3=5'; wanted `ngram 2=COUNT`"),
        ("ngram 1=6", "ngram 1=many", "line 2, is 'ngram 1=many'"),
        ("ngram 2=5", "ngram 2=6", "line 20, is ''; wanted log10 probability, 2 words"),
        ("ngram 2=5", "ngram 2=4", "wanted `\\3-grams:`: there are more lines than the counts at the top say"),
        ("ngram 3=2", "ngram 3=99999999999", "wanted 1 to 2147483646"),
        ("ngram 3=2", "ngram 3=2000000000", "line 24, is ''; wanted log10 probability, 3 words"),
        ("-0.5\tb </s>", "-0.5\tb", "line 17, is '-0.5 b'; wanted log10 probability, 2 words"),
        ("-0.5\tb </s>", "-0.5\tb </s> a -0.1", "line 17, is '-0.5 b </s> a -0.1'"),
        ("-0.5\tb </s>", "0.5\tb </s>", "line 17, is '0.5 b </s>'; wanted a log10 probability of at most 0"),
        ("-0.5\tb </s>", "nan\tb </s>", "line 17, is 'nan b </s>'; wanted a log10 probability of at most 0"),
        ("-0.4\ta b\t-0.15", "-0.4\ta b\tinf", "line 16, is '-0.4 a b inf'"),
        ("-0.5\tb </s>", "b\t-0.5 </s>", "line 17, is 'b -0.5 </s>', where a number cannot be read"),
        ("-0.5\tb </s>", "-0.5\tb d", "line 17, has the word 'd', which is no 1-gram of this file"),
        ("-0.5\tb </s>", "-0.5\ta b", "line 17, repeats a 2-gram; wanted each once"),
        ("-0.9\tc\t-0.35", "-0.9\tb", "line 12, repeats the word 'b'"),
        ("-99\t<s>\t-0.30103", "-99\t<x>", "line 15, has the word '<s>'"),
        ("\\end\\", "\\4-grams:", "line 25, is '\\\\4-grams:'; wanted `\\end\\`"),
        ("\\end\\\n", "", "ends after line 24; wanted `\\end\\`: it is cut off"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(old, new, problem, tmp_path) -> None:
    assert old in SMALL
    with pytest.raises(LanguageModelError) as raised:
        NGram.load(written(tmp_path, SMALL.replace(old, new)))
    assert problem in str(raised.value)


@pytest.mark.parametrize("kept", range(0, len(SMALL) - 8, 7))
def test_a_file_that_is_cut_off_is_refused(kept, tmp_path) -> None:
    with pytest.raises(LanguageModelError, match=r"lm\.arpa.*(wanted|no ARPA file|no 1-gram)"):
        NGram.load(written(tmp_path, SMALL[:kept]))


def test_a_model_without_ends_of_sentences_is_refused(tmp_path) -> None:
    text = "\\data\\\nngram 1=2\n\n\\1-grams:\n-0.5\t<s>\n-0.5\ta\n\n\\end\\\n"
    with pytest.raises(LanguageModelError, match="has no word </s>; wanted <s> and </s>"):
        NGram.load(written(tmp_path, text))


def test_words_that_are_not_utf8_are_refused(tmp_path) -> None:
    (tmp_path / "lm.arpa").write_bytes(SMALL.replace("-0.9\tc", "-0.9\té").encode("latin-1"))
    with pytest.raises(LanguageModelError, match=r"line 12, has the word '\\\\xe9'; wanted UTF-8"):
        NGram.load(tmp_path / "lm.arpa")


def test_a_binary_of_kenlm_is_refused_with_the_way_to_an_arpa_file(tmp_path) -> None:
    (tmp_path / "lm.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(100))
    with pytest.raises(LanguageModelError, match=r"binary of KenLM.*lmplz -o 3 < TEXT > lm\.arpa, or: xlsr lm build"):
        NGram.load(tmp_path / "lm.bin")


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:40] + b"\xff" * 9 + data[49:]])
def test_a_damaged_gzip_file_is_refused(damage, tmp_path) -> None:
    (tmp_path / "lm.arpa.gz").write_bytes(damage(gzip.compress(SMALL.encode())))
    with pytest.raises(LanguageModelError, match="damaged gzip file"):
        NGram.load(tmp_path / "lm.arpa.gz")


def test_a_gzip_file_does_not_unfold_without_end(tmp_path) -> None:
    long = SMALL.replace("\\end\\", (" " * 9999 + "\n") * 1000)
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(long.encode()))
    with pytest.raises(LanguageModelError, match="unfolds without end"):
        NGram.load(tmp_path / "lm.arpa.gz")


@pytest.mark.parametrize(("comment", "unit"), [("# unit: word\n", "word"), ("", "char")])
def test_the_unit_is_what_the_file_says_or_what_its_words_look_like(comment, unit, tmp_path) -> None:
    path = written(tmp_path, comment + SMALL)
    assert NGram.load(path).unit == unit
    assert NGram.load(path, unit="word").unit == "word"
    assert NGram.load(written(tmp_path, SMALL.replace("c", "cc"))).unit == "word"


def test_other_names_than_those_of_models_are_refused(tmp_path) -> None:
    model = NGram.load(written(tmp_path, SMALL))
    with pytest.raises(LanguageModelError, match=r"lm\.bin is no name for a language model"):
        model.save(tmp_path / "lm.bin")
    with pytest.raises(LanguageModelError, match="cannot hold quantised values"):
        model.save(tmp_path / "lm.arpa", quantize=True)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["lm.arpa"]
