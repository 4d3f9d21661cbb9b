"""What a beam search knows: arrays and numbers, each in one tuple, which compiled code takes as they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.decoding.hotwords import HotwordArrays
from xlsr.decoding.ngram import NGramArrays
from xlsr.decoding.search.prefixes import Ints, Tokens

NO_LM, WORD_LM, CHAR_LM = 0, 1, 2
OUTSIDE = -1  # node of a word that the lexicon does not hold


NODE = np.dtype(
    [
        ("first_child", np.int64),  # the nodes below it, up to those below the next
        ("first_spelling", np.int64),  # the spellings that end here, likewise
        ("token", np.int64),  # that leads here
        ("look", np.float64),  # the best that a word which goes through here can add
    ]
)
SPELLING = np.dtype(
    [
        ("word", np.int32),  # number in the lexicon
        ("lm_id", np.int32),  # in a language model of words
        ("hot", np.int32),  # symbol of its end among the hotwords
    ]
)


class Model(NamedTuple):
    """What is known of words, as arrays.

    Attributes:
        nodes: (nodes + 1,) of NODE, the trie of the lexicon.
        spellings: (spellings,) of SPELLING.
        lm: n-gram trie; unused without a language model.
        token_ids: (vocab,) int32, the language model's id of each token, if it is of characters.
        tokens: int64, the tokens that can be heard: not the blank, and no marks such as <s>.
        hot: automaton of the hotwords.
    """

    nodes: NDArray[np.void]
    spellings: NDArray[np.void]
    lm: NGramArrays
    token_ids: Ints
    tokens: Tokens
    hot: HotwordArrays


class Rules(NamedTuple):
    """The numbers of a search; scores are in nats.

    Attributes:
        blank: its column.
        delimiter: column of the word delimiter, -1: words have no end of their own.
        closed: whether prefixes are told apart by the words of the lexicon.
        log_add: whether paths are added up.
        beam_size: prefixes kept.
        beam_size_token: tokens tried in a frame.
        beam_threshold: nats below the best from which on prefixes are dropped.
        branching: the most prefixes that can follow one.
        lm_unit: NO_LM, WORD_LM or CHAR_LM.
        start: first state of the language model.
        end: its id of the end of a sentence; -1: that is not counted.
        unknown: its id of unknown words.
        least: log-probability that an unknown word has at least.
        lm_weight: of its log-probabilities.
        word_score: added for each word.
        unk_score: added for each word outside the lexicon; -inf forbids them.
        unk_length: tokens that such a word has for it.
        unk_rate: added for each further token.
        unk_look: look-ahead in such a word, without what its length costs.
        gain: the most that one symbol can add beyond its emission and the word score.
    """

    blank: int
    delimiter: int
    closed: bool
    log_add: bool
    beam_size: int
    beam_size_token: int
    beam_threshold: float
    branching: int
    lm_unit: int
    start: int
    end: int
    unknown: int
    least: float
    lm_weight: float
    word_score: float
    unk_score: float
    unk_length: int
    unk_rate: float
    unk_look: float
    gain: float
