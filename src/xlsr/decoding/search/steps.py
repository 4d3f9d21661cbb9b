"""What may follow a prefix, and what it costs.

A step is held against the worst prefix that can still be kept before hotwords and the language model are asked. A new
prefix is written into the next free record of the pool, and counts once it is offered and good enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled_in_place
from xlsr.decoding.hotwords import follow
from xlsr.decoding.ngram import advance
from xlsr.decoding.search.model import CHAR_LM, OUTSIDE, WORD_LM, Model, Rules
from xlsr.decoding.search.prefixes import Floats, Ints, Prefix, Prefixes, Tokens, find, join, mix

_NODE, _TOKEN = 1 << 40, 1 << 41  # keep apart what is mixed into keys: symbols, nodes of the lexicon, last tokens


class Frame(NamedTuple):
    """The prefixes of the frame that is being filled.

    Attributes:
        pool: records, of which the last is for scribbling.
        table: hash table of their keys: index in the pool, or -1.
        found: (1,) int64, how many there are.
        floor: (1,) float64, nothing with a score below it can be kept.
        tokens: those that are tried.
        is_tried: (vocab,) uint8, likewise.
        child_of: (vocab,) int64, for scribbling; OUTSIDE throughout.
    """

    pool: Prefixes
    table: Ints
    found: NDArray[np.int64]
    floor: NDArray[np.float64]
    tokens: Tokens
    is_tried: NDArray[np.uint8]
    child_of: Tokens


@compiled_in_place
def follow_open(row: Floats, beam: Prefix, frame: Frame, model: Model, rules: Rules) -> None:
    """Append each token within a word to a prefix that is told apart by its tokens."""
    first = end = 0
    if beam.node >= 0:
        first, end = model.nodes[beam.node].first_child, model.nodes[beam.node + 1].first_child
    for node in range(first, end):
        frame.child_of[model.nodes[node].token] = node
    outside = rules.unk_look + _length_score(beam.length + 1, rules)
    base = beam.lm + beam.bonus + rules.gain
    for token in frame.tokens:
        node = frame.child_of[token]
        if token == rules.delimiter or (node < 0 and rules.unk_score == -np.inf):
            continue
        paths = (beam.blank if token == beam.last else beam.total) + row[token]
        look = model.nodes[node].look if node >= 0 else outside
        key = mix(beam.history, token)
        slot = find(frame.pool, frame.table, key)
        if frame.table[slot] >= 0:
            merge(frame.pool[frame.table[slot]], paths, beam.trace, token, rules)
        elif paths + base + look >= frame.floor[0]:
            _add_token(paths, token, node, look, key, slot, beam, frame, model, rules)
    for node in range(first, end):
        frame.child_of[model.nodes[node].token] = OUTSIDE


@compiled_in_place
def follow_closed(row: Floats, beam: Prefix, frame: Frame, model: Model, rules: Rules) -> None:
    """Append the tokens by which the lexicon goes on within a word."""
    base = beam.lm + beam.bonus + rules.gain
    for node in range(model.nodes[beam.node].first_child, model.nodes[beam.node + 1].first_child):
        is_leaf = model.nodes[node].first_child == model.nodes[node + 1].first_child
        token = model.nodes[node].token
        if not frame.is_tried[token] or (is_leaf and rules.delimiter < 0):
            continue
        paths = (beam.blank if token == beam.last else beam.total) + row[token]
        look = model.nodes[node].look
        key = mix(beam.history, _NODE + node)
        slot = find(frame.pool, frame.table, key)
        if frame.table[slot] >= 0:
            merge(frame.pool[frame.table[slot]], paths, beam.trace, token, rules)
        elif paths + base + look >= frame.floor[0]:
            _add_token(paths, token, node, look, key, slot, beam, frame, model, rules)


@compiled_in_place
def end_words(row: Floats, beam: Prefix, frame: Frame, model: Model, rules: Rules) -> None:
    """End the word begun in every way: by the delimiter, or without one by each token that completes a spelling."""
    word: Prefix = frame.pool[len(frame.pool) - 1]
    if rules.delimiter >= 0:
        if beam.node != 0 and frame.is_tried[rules.delimiter]:
            frame.pool[len(frame.pool) - 1] = beam
            paths = beam.blank if beam.last == rules.delimiter else beam.total
            word.token, word.last = paths + row[rules.delimiter], rules.delimiter
            _add_words(word, beam.node, frame, model, rules)
    elif rules.closed:
        for node in range(model.nodes[beam.node].first_child, model.nodes[beam.node + 1].first_child):
            token = model.nodes[node].token
            is_word = model.nodes[node].first_spelling < model.nodes[node + 1].first_spelling
            if not is_word or not frame.is_tried[token]:
                continue
            frame.pool[len(frame.pool) - 1] = beam
            word.token, word.last = (beam.blank if token == beam.last else beam.total) + row[token], token
            if model.hot.first_end >= 0:
                word.hot, gain = follow(model.hot, beam.hot, model.hot.offset + token)
                word.bonus += gain
            _add_words(word, node, frame, model, rules)


@compiled_in_place
def _add_token(
    paths: float, token: int, node: int, look: float, key: int, slot: int, beam: Prefix,
    frame: Frame, model: Model, rules: Rules,
) -> None:  # fmt: skip
    """Offer a prefix that one token within a word makes longer."""
    frame.pool[frame.found[0]] = beam
    new: Prefix = frame.pool[frame.found[0]]
    if rules.lm_unit == CHAR_LM:
        if beam.node == 0 and beam.history != 0:  # the delimiter counts only now: it may have been the last of all
            gain, new.state = advance(model.lm, new.state, model.token_ids[rules.delimiter])
            new.lm += rules.lm_weight * gain
        gain, new.state = advance(model.lm, new.state, model.token_ids[token])
        new.lm += rules.lm_weight * gain
    if model.hot.first_end >= 0:
        new.hot, gain = follow(model.hot, beam.hot, model.hot.offset + token)
        new.bonus += gain
    if not rules.closed:
        new.history, new.symbol = key, token
    new.key, new.node, new.last, new.look = key, node, token, look
    new.length += 1
    new.token = paths
    offer(new, slot, frame, rules)


@compiled_in_place
def _add_words(word: Prefix, node: int, frame: Frame, model: Model, rules: Rules) -> None:
    """Offer the prefixes that end with a word spelt up to a node: each word of the lexicon, else the unknown one."""
    vocab = len(model.token_ids)
    first = end = known = 0
    if node >= 0:
        first, end = model.nodes[node].first_spelling, model.nodes[node + 1].first_spelling
        known = end
    if first == end and not rules.closed and rules.unk_score > -np.inf:
        end += 1
    for spelling in range(first, end):
        is_known = spelling < known
        symbol = vocab + spelling if is_known else rules.delimiter
        history = mix(word.history, vocab + model.spellings[spelling].word if rules.closed else symbol)
        key = mix(history, _TOKEN + word.last)
        slot = find(frame.pool, frame.table, key)
        if frame.table[slot] >= 0:
            merge(frame.pool[frame.table[slot]], word.token, word.trace, symbol, rules)
            continue
        bonus = rules.word_score
        if not is_known:
            bonus += rules.unk_score + _length_score(word.length, rules)
        if not word.token + word.lm + word.bonus + bonus + rules.gain >= frame.floor[0]:
            continue
        frame.pool[frame.found[0]] = word
        new: Prefix = frame.pool[frame.found[0]]
        if rules.lm_unit == WORD_LM:
            id = model.spellings[spelling].lm_id if is_known else rules.unknown
            gain, new.state = advance(model.lm, new.state, id)
            new.lm += rules.lm_weight * (max(gain, rules.least) if id == rules.unknown else gain)
        if model.hot.first_end >= 0:
            name = model.spellings[spelling].hot if is_known else model.hot.first_end
            new.hot, gain = follow(model.hot, word.hot, name)
            bonus += gain
        new.bonus += bonus
        new.key, new.history, new.symbol = key, history, symbol
        new.node, new.length, new.look = 0, 0, 0.0
        offer(new, slot, frame, rules)


@compiled_in_place
def _length_score(length: int, rules: Rules) -> float:
    """Return what a word outside the lexicon costs beyond `unk_score` for being long."""
    return rules.unk_rate * max(0, length - rules.unk_length)


@compiled_in_place
def merge(old: Prefix, paths: float, trace: int, symbol: int, rules: Rules) -> None:
    """Add paths to a prefix; of two spellings the likelier is remembered."""
    if rules.closed and paths > max(old.blank, old.token):
        old.trace = trace
        if old.node == 0:
            old.symbol = symbol
    old.token = join(old.token, paths, rules.log_add)


@compiled_in_place
def offer(new: Prefix, slot: int, frame: Frame, rules: Rules) -> None:
    """Count in the next free record, which has paths that end in its token, if it may be kept."""
    new.blank = -np.inf
    new.score = new.token + new.lm + new.bonus + new.look
    if new.score >= frame.floor[0]:
        frame.table[slot] = frame.found[0]
        frame.found[0] += 1
        frame.floor[0] = max(frame.floor[0], new.score - rules.beam_threshold)


@compiled_in_place
def end_here(beam: Prefix, frame: Frame, rules: Rules) -> None:
    """Offer a prefix that stands between words, or where words are not told, as it is when the recording ends."""
    key = mix(beam.history, _TOKEN + rules.delimiter)
    slot = find(frame.pool, frame.table, key)
    if frame.table[slot] >= 0:
        merge(frame.pool[frame.table[slot]], beam.total, beam.trace, beam.symbol, rules)
        return
    frame.pool[frame.found[0]] = beam
    new: Prefix = frame.pool[frame.found[0]]
    new.key, new.look, new.token = key, 0.0, beam.total
    offer(new, slot, frame, rules)


@compiled_in_place
def start(prefix: Prefix, rules: Rules) -> None:
    """Make the empty prefix, which stands behind a delimiter, as it were."""
    prefix.last = rules.delimiter
    prefix.key = mix(prefix.history, _TOKEN + prefix.last)
    prefix.blank = -np.inf if rules.delimiter >= 0 else 0.0
    prefix.token = 0.0 if rules.delimiter >= 0 else -np.inf
    prefix.state = rules.start
    prefix.trace = prefix.symbol = -1
