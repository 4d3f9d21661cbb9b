"""Lexicon files and word lists, and the trie of their spellings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.decoding.lexicon import Lexicon, shortest_spellings
from xlsr.errors import LexiconError
from xlsr.tokenizer import Tokenizer

LETTERS = Tokenizer.from_symbols(["<pad>", "<unk>", "|", "a", "b", "c", "'"])
CAPITALS = Tokenizer.from_symbols(["[PAD]", "<pad>", "|", "A", "B", "S"])
DIGRAPHS = Tokenizer.from_symbols(["<pad>", "|", "a", "b", "ch", "c"])
PHONES = Tokenizer.from_symbols(["<pad>", "oʊ", "t"], is_phones=True)


def read(folder: Path, text: str, tokenizer: Tokenizer = LETTERS) -> Lexicon:
    (folder / "lexicon.txt").write_text(text, "utf-8")
    return Lexicon.from_file(folder / "lexicon.txt", tokenizer)


def test_lines_are_words_and_their_tokens(tmp_path) -> None:
    lexicon = read(tmp_path, "ab\ta b |\n\n  cab c a b\r\nab b a\na b\tb |\nbee\tb\n")
    assert lexicon.words == ("ab", "cab", "a b", "bee")
    assert lexicon.spellings_of("ab") == ((3, 4), (4, 3))
    assert lexicon.spellings_of("a b") == lexicon.spellings_of("bee") == ((4,),)
    assert lexicon.spellings_of("none") == ()
    assert "bee" in lexicon
    assert "a" not in lexicon


def test_words_without_tokens_are_spelt_by_the_tokenizer(tmp_path) -> None:
    assert read(tmp_path, "ab\nA'B\n").spellings_of("A'B") == ((3, 6, 4),)
    assert read(tmp_path, "ach\n", DIGRAPHS).spellings_of("ach") == ((2, 4),)


def test_phones_are_written_as_they_are(tmp_path) -> None:
    assert read(tmp_path, "toe t oʊ\n", PHONES).spellings_of("toe") == ((2, 1),)


@pytest.mark.parametrize(
    ("text", "tokenizer", "match"),
    [
        ("ab a b\nax a x\n", LETTERS, "line 2, 'ax', is spelt with 'x', which is not in the vocabulary"),
        ("ab a <pad> b\n", LETTERS, "'<pad>', which is not"),
        ("toe\n", PHONES, "line 1, 'toe', has no tokens behind it"),
        ("x\ny\nz\nv\nw\n", LETTERS, "line 3, .*; and 2 lines more"),
        ("\n\n", LETTERS, "holds no words"),
    ],
)
def test_lines_that_cannot_be_spelt_are_named(text, tokenizer, match, tmp_path) -> None:
    with pytest.raises(LexiconError, match=match):
        read(tmp_path, text, tokenizer)


def test_files_that_cannot_be_read_are_named(tmp_path) -> None:
    with pytest.raises(LexiconError, match=r"missing.txt cannot be read"):
        Lexicon.from_file(tmp_path / "missing.txt", LETTERS)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 c a\n")
    with pytest.raises(LexiconError, match="wanted lines in UTF-8"):
        Lexicon.from_file(tmp_path / "latin.txt", LETTERS)


def test_words_take_the_case_of_the_vocabulary() -> None:
    assert Lexicon.from_words(["ab", "Ba", "ß"], CAPITALS).spellings_of("ß") == ((5, 5),)
    assert Lexicon.from_words(["ab", "Ba"], CAPITALS).tokens.tolist() == [3, 4, 4, 3]


def test_words_that_cannot_be_spelt_are_left_out_or_named() -> None:
    lexicon = Lexicon.from_words(["ab", "x", "b", "a|b", "ab"], LETTERS, skip=True)
    assert (lexicon.words, lexicon.lengths.tolist()) == (("ab", "b"), [2, 1])
    with pytest.raises(
        LexiconError, match=r"2 of 4 words cannot be spelt with the model's vocabulary, such as 'x', 'a\|b'"
    ):
        Lexicon.from_words(["ab", "x", "b", "a|b"], LETTERS)
    with pytest.raises(LexiconError, match="1 of 1 words"):
        Lexicon.from_words(["я"], LETTERS, skip=True)
    with pytest.raises(LexiconError, match="symbols are phones"):
        Lexicon.from_words(["t"], PHONES)


@pytest.mark.parametrize("tokenizer", [LETTERS, DIGRAPHS, CAPITALS], ids=["letters", "digraphs", "capitals"])
@given(words=st.lists(st.text("abcßxABh'", min_size=1, max_size=5), min_size=1, max_size=6, unique=True))
def test_all_words_at_once_are_spelt_as_one_by_one(tokenizer, words) -> None:
    def alone(word: str) -> tuple:
        try:
            return Lexicon.from_words([word], tokenizer).spellings_of(word)
        except LexiconError:
            return ()

    wanted = {word: alone(word) for word in words if alone(word)}
    if wanted:
        lexicon = Lexicon.from_words(words, tokenizer, skip=True)
        assert {word: lexicon.spellings_of(word) for word in lexicon.words} == wanted


def test_joined_lexicons_keep_their_spellings() -> None:
    first, second = Lexicon.from_words(["ab", "c"], LETTERS), Lexicon.from_words(["ba", "ab"], DIGRAPHS)
    both = first.joined(second)
    assert both.words == ("ab", "c", "ba")
    assert both.spellings_of("ab") == ((3, 4), (2, 3))
    assert both.spellings_of("ba") == ((3, 2),)


spellings = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)


@given(st.lists(st.tuples(st.sampled_from("uvwxyz"), spellings), min_size=1, max_size=10), st.data())
def test_the_trie_holds_each_spelling_once(entries, data) -> None:
    numbers = {word: number for number, word in enumerate(dict.fromkeys(word for word, _ in entries))}
    tokens = np.array([token for _, spelling in entries for token in spelling], np.int32)
    lengths = np.array([len(spelling) for _, spelling in entries], np.int32)
    lexicon = Lexicon(tuple(numbers), np.array([numbers[word] for word, _ in entries], np.int32), tokens, lengths)
    trie, arrays = lexicon.trie, lexicon.trie.arrays
    found = [
        (lexicon.words[word], trie.spelling(trie.node_of(entry))) for entry, word in enumerate(arrays.word.tolist())
    ]
    assert sorted(found) == sorted(set(entries))
    prefixes = [trie.spelling(node) for node in range(len(trie.parent))]
    assert sorted(prefixes) == sorted({s[:n] for _, s in entries for n in range(len(s) + 1)})
    assert trie.depths().tolist() == [*map(len, prefixes)]
    for node, prefix in enumerate(prefixes):
        children = [prefixes[child] for child in range(arrays.first_child[node], arrays.first_child[node + 1])]
        assert children == sorted(p for p in prefixes if len(p) == len(prefix) + 1 and p[:-1] == prefix)
    values = np.array([data.draw(st.integers(-9, 0)) for _ in numbers], np.float32)
    for prefix, highest in zip(prefixes, trie.highest(values).tolist(), strict=True):
        below = [values[numbers[word]] for word, spelling in entries if spelling[: len(prefix)] == prefix]
        assert highest == max(below)


def test_shortest_spellings_want_the_fewest_frames() -> None:
    twice, either = [(1, 1)], [(1, 2), (2,)]
    assert shortest_spellings([twice, either], is_delimited=True) == [(1, 1), (2,)]
    # 1 _ 1 after 1 2 are five frames; after 2 the same, and after 1 one more.
    assert shortest_spellings([[(1,), (2, 3)], [(1,), (1, 2, 3, 1)]], is_delimited=False) == [(1,), (1,)]
    assert shortest_spellings([[(1,), (2,)], [(1,)]], is_delimited=False) == [(2,), (1,)]
    assert shortest_spellings([], is_delimited=False) == []
