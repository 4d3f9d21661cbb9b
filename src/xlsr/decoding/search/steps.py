"""What may follow a prefix, and what it costs.

A step is held against the worst prefix that can still be kept before hotwords and the language model are asked. A new
prefix is written into the next free record of the pool, and counts once it is offered and good enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled
from xlsr.decoding.hotwords import follow
from xlsr.decoding.ngram import advance
from xlsr.decoding.search.model import CHAR_LM, OUTSIDE, WORD_LM, Model, Rules
from xlsr.decoding.search.prefixes import Floats, Ints, Prefix, Prefixes, Tokens, find, join, mix

_NODE, TOKEN = 1 << 40, 1 << 41  # keep apart what is mixed into keys: symbols, nodes of the lexicon, last tokens


@compiled
def follow_open(
    row: Floats, beam: Prefix, pool: Prefixes, table: Ints, found: int, tokens: Tokens, child_of: Ints,
    model: Model, rules: Rules, floor: NDArray[np.float64],
) -> int:  # fmt: skip
    """Append each tried token to a prefix that is told apart by its tokens. `child_of` is all OUTSIDE, and left so."""
    first = end = 0
    if beam.node >= 0:
        first, end = model.nodes[beam.node].first_child, model.nodes[beam.node + 1].first_child
    for node in range(first, end):
        child_of[model.nodes[node].token] = node
    for token in tokens:
        paths = (beam.blank if token == beam.last else beam.total) + row[token]
        if token == rules.delimiter:
            if beam.node != 0:
                word = at_end_of_word(pool, beam, paths, token)
                found = end_word(word, beam.node, pool, table, found, model, rules, floor)
        elif child_of[token] >= 0 or rules.unk_score > -np.inf:
            key = mix(beam.history, token)
            found = _add_token(paths, token, child_of[token], key, key, beam, pool, table, found, model, rules, floor)
    for node in range(first, end):
        child_of[model.nodes[node].token] = OUTSIDE
    return found


@compiled
def follow_closed(
    row: Floats, beam: Prefix, pool: Prefixes, table: Ints, found: int, is_tried: NDArray[np.uint8],
    model: Model, rules: Rules, floor: NDArray[np.float64],
) -> int:  # fmt: skip
    """Append the tokens by which the lexicon goes on."""
    has_delimiter = rules.delimiter >= 0
    for node in range(model.nodes[beam.node].first_child, model.nodes[beam.node + 1].first_child):
        token = model.nodes[node].token
        if not is_tried[token]:
            continue
        paths = (beam.blank if token == beam.last else beam.total) + row[token]
        if has_delimiter or model.nodes[node].first_child < model.nodes[node + 1].first_child:
            key = mix(beam.history, _NODE + node)
            found = _add_token(paths, token, node, key, beam.history, beam, pool, table, found, model, rules, floor)
        if not has_delimiter and model.nodes[node].first_spelling < model.nodes[node + 1].first_spelling:
            word = at_end_of_word(pool, beam, paths, token)
            if model.hot.first_end >= 0:
                word.hot, gain = follow(model.hot, beam.hot, model.hot.offset + token)
                word.bonus += gain
            found = end_word(word, node, pool, table, found, model, rules, floor)
    if has_delimiter and beam.node > 0 and is_tried[rules.delimiter]:
        paths = (beam.blank if beam.last == rules.delimiter else beam.total) + row[rules.delimiter]
        word = at_end_of_word(pool, beam, paths, rules.delimiter)
        found = end_word(word, beam.node, pool, table, found, model, rules, floor)
    return found


@compiled
def _add_token(
    paths: float, token: int, node: int, key: int, history: int, beam: Prefix,
    pool: Prefixes, table: Ints, found: int, model: Model, rules: Rules, floor: NDArray[np.float64],
) -> int:  # fmt: skip
    """Offer a prefix that one token within a word makes longer; return the number of prefixes."""
    slot = find(pool, table, key)
    symbol = -1 if rules.closed else token
    if table[slot] >= 0:
        merge(pool[table[slot]], paths, beam.trace, symbol, rules)
        return found
    if not paths + beam.lm + beam.bonus + rules.gain >= floor[0]:
        return found
    pool[found] = beam
    new = pool[found]
    if rules.lm_unit == CHAR_LM:
        if beam.node == 0 and beam.history != 0:  # the delimiter counts only now: it may have been the last of all
            gain, new.state = advance(model.lm, new.state, model.token_ids[rules.delimiter])
            new.lm += rules.lm_weight * gain
        gain, new.state = advance(model.lm, new.state, model.token_ids[token])
        new.lm += rules.lm_weight * gain
    if model.hot.first_end >= 0:
        new.hot, gain = follow(model.hot, beam.hot, model.hot.offset + token)
        new.bonus += gain
    new.key, new.history = key, history
    new.node, new.last, new.symbol = node, token, symbol
    new.look = model.nodes[node].look if node >= 0 else rules.unk_look
    return offer(new, paths, slot, table, found, rules, floor)


@compiled
def at_end_of_word(pool: Prefixes, beam: Prefix, paths: float, last: int) -> Prefix:
    """Copy a prefix whose last word may end now, with these paths and their last token."""
    pool[len(pool) - 1] = beam
    word: Prefix = pool[len(pool) - 1]
    word.token, word.last = paths, last
    return word


@compiled
def end_word(
    word: Prefix, node: int, pool: Prefixes, table: Ints, found: int,
    model: Model, rules: Rules, floor: NDArray[np.float64],
) -> int:  # fmt: skip
    """Offer the prefixes that a word spelt up to a node ends: one for each word of this spelling."""
    first = end = 0
    if node >= 0:
        first, end = model.nodes[node].first_spelling, model.nodes[node + 1].first_spelling
    known = end
    if first == end and not rules.closed and rules.unk_score > -np.inf:
        end += 1
    for spelling in range(first, end):
        name = model.spellings[spelling].word if spelling < known else -1
        found = _add_word(word, spelling, name, pool, table, found, model, rules, floor)
    return found


@compiled
def _add_word(
    word: Prefix, spelling: int, name: int, pool: Prefixes, table: Ints, found: int,
    model: Model, rules: Rules, floor: NDArray[np.float64],
) -> int:  # fmt: skip
    """Offer the prefix that ends one word; `name` is its number in the lexicon, -1 outside."""
    vocab = len(model.token_ids)
    symbol = vocab + spelling if name >= 0 else rules.delimiter
    history = mix(word.history, vocab + name if rules.closed else symbol)
    key = mix(history, TOKEN + word.last)
    slot = find(pool, table, key)
    if table[slot] >= 0:
        merge(pool[table[slot]], word.token, word.trace, symbol, rules)
        return found
    bonus = rules.word_score + (0.0 if name >= 0 else rules.unk_score)
    if not word.token + word.lm + word.bonus + bonus + rules.gain >= floor[0]:
        return found
    pool[found] = word
    new = pool[found]
    if rules.lm_unit == WORD_LM:
        id = model.spellings[spelling].lm_id if name >= 0 else rules.unknown
        gain, new.state = advance(model.lm, new.state, id)
        new.lm += rules.lm_weight * (max(gain, rules.least) if id == rules.unknown else gain)
    if model.hot.first_end >= 0:
        end = model.spellings[spelling].hot if name >= 0 else model.hot.first_end
        new.hot, gain = follow(model.hot, word.hot, end)
        new.bonus += gain
    new.bonus += bonus
    new.key, new.history = key, history
    new.node, new.symbol, new.look = 0, symbol, 0.0
    return offer(new, word.token, slot, table, found, rules, floor)


@compiled
def merge(old: Prefix, paths: float, trace: int, symbol: int, rules: Rules) -> None:
    """Add paths to a prefix; of two spellings the likelier is remembered."""
    if rules.closed and paths > max(old.blank, old.token):
        old.trace, old.symbol = trace, symbol
    old.token = join(old.token, paths, rules.log_add)


@compiled
def offer(
    new: Prefix, paths: float, slot: int, table: Ints, found: int, rules: Rules, floor: NDArray[np.float64]
) -> int:
    """Count in the record at pool[found] if it may be kept."""
    new.blank, new.token = -np.inf, paths
    new.score = paths + new.lm + new.bonus + new.look
    if not new.score >= floor[0]:
        return found
    table[slot] = found
    floor[0] = max(floor[0], new.score - rules.beam_threshold)
    return found + 1
