"""Walking the trie: back-off as the ARPA format defines it, against KenLM and against a dictionary of n-grams."""

import itertools
import math
import os
from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.decoding.ngram import NGram, advance, find_child
from xlsr.decoding.ngram.lookup import insert_children

LN10 = math.log(10)
SMALL = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-99\t<s>\t-0.30103
-1.0\t</s>
-2.0\t<unk>
-0.6\ta\t-0.2
-0.7\tb\t-0.25
-0.9\tc\t-0.35

\\2-grams:
-0.3\t<s> a\t-0.1
-0.4\ta b\t-0.15
-0.5\tb </s>
-0.6\tb a\t-0.15
-0.44\tc a\t-0.3

\\3-grams:
-0.2\t<s> a b
-0.1\tc a b

\\end\\
"""
# What stands before "c b a" and "<s> c b" is not in it, as in models that were pruned by SRILM.
GAPS = SMALL.replace("ngram 3=2", "ngram 3=4").replace("-0.1\tc a b", "-0.1\tc a b\n-0.15\tc b a\n-0.25\t<s> c b")


def written(folder: Path, text: str) -> Path:
    path = folder / "lm.arpa"
    path.write_text(text, "utf-8")
    return path


class Definition:
    """p(w | h) as ngram-format(5) says it, over a dictionary of the lines of the file."""

    def __init__(self, text: str) -> None:
        self.values: dict[tuple[str, ...], tuple[float, float]] = {}
        for line in text.splitlines():
            fields = line.split("\t")
            if len(fields) > 1:
                self.values[tuple(fields[1].split())] = (float(fields[0]), float(fields[2]) if fields[2:] else 0.0)

    def score(self, history: tuple[str, ...], word: str) -> float:
        if (*history, word) in self.values:
            return self.values[*history, word][0]
        return self.values.get(history, (0.0, 0.0))[1] + self.score(history[1:], word)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, NGram]:
    folder = tmp_path_factory.mktemp("arpa")
    return {text: NGram.load(written(folder, text)) for text in (SMALL, GAPS)}


@pytest.mark.parametrize("text", [SMALL, GAPS], ids=["closed", "gaps"])
@settings(max_examples=300, deadline=None)
@given(words=st.lists(st.sampled_from("abcx"), max_size=7), bos=st.booleans(), eos=st.booleans())
def test_scores_are_those_of_the_definition(text, words, bos, eos, models) -> None:
    model = models[text]
    oracle = Definition(text)
    wanted, history = 0.0, ("<s>",) if bos else ()
    for word in [*("<unk>" if word == "x" else word for word in words), *(["</s>"] if eos else [])]:
        wanted += oracle.score(history[-2:], word)
        history += (word,)
    # float32 keeps seven digits of each weight
    assert model.score(words, bos=bos, eos=eos) == pytest.approx(wanted * LN10, abs=1e-5)


def test_scores_are_kenlms(tmp_path) -> None:
    model = NGram.load(written(tmp_path, SMALL))
    theirs = kenlm.Model(os.fspath(tmp_path / "lm.arpa"))
    for length in range(5):
        for words in itertools.product("abcx", repeat=length):
            for bos, eos in itertools.product([False, True], repeat=2):
                wanted = theirs.score(" ".join(words), bos=bos, eos=eos)
                assert model.score(words, bos=bos, eos=eos) / LN10 == pytest.approx(wanted, abs=1e-5)


def test_the_plain_functions_find_what_the_compiled_ones_find(tmp_path) -> None:
    arrays = NGram.load(written(tmp_path, GAPS)).arrays
    for node in range(len(arrays.log_prob)):
        for word in range(6):
            assert find_child.py_func(arrays, node, word) == find_child(arrays, node, word)
            if arrays.is_state[node]:
                plain, there = advance.py_func(arrays, node, word)
                compiled, here = advance(arrays, node, word)
                assert plain == pytest.approx(compiled, abs=1e-6)
                assert there == here


def test_a_state_is_the_longest_suffix_that_matters(tmp_path) -> None:
    model = NGram.load(written(tmp_path, SMALL))
    arrays, ids = model.arrays, model.id_of
    a = find_child(arrays, model.empty, ids("a"))
    a_b = find_child(arrays, a, ids("b"))
    _, after_a = advance(arrays, model.start, ids("a"))
    _, after_a_b = advance(arrays, after_a, ids("b"))
    assert after_a == find_child(arrays, model.start, ids("a"))
    assert after_a_b == a_b, "<s> a b is of the highest order, its suffix a b has a back-off weight"
    assert advance(arrays, after_a_b, ids("x"))[1] == model.empty, "nothing follows <unk>"
    assert advance(arrays, after_a_b, model.end_id)[1] == model.empty, "nothing follows </s>"


def test_collisions_in_the_table_lose_nothing(tmp_path) -> None:
    model = NGram.load(written(tmp_path, SMALL))
    rng = np.random.default_rng(0)
    keys = np.unique(rng.integers(1, 50, (60, 2)), axis=0).astype(np.int32)  # 64 slots: nearly full
    arrays = model.arrays._replace(slots=np.full(64, -1, np.int64), children=np.zeros(64, np.int32))
    insert_children(arrays, keys[:, 0].copy(), keys[:, 1].copy(), 100)
    for place, (node, word) in enumerate(keys.tolist()):
        assert find_child(arrays, node, word) == 100 + place
    assert find_child(arrays, 51, 3) == -1
