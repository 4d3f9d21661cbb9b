"""Frame after frame: prefixes stay or go on, the best are kept; at the end, words and sentences are closed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled
from xlsr.decoding.ngram import advance
from xlsr.decoding.search.model import NO_LM, OUTSIDE, Model, Rules
from xlsr.decoding.search.prefixes import (
    PREFIX,
    Floats,
    Ints,
    Prefix,
    Prefixes,
    Tokens,
    best,
    compact,
    enter,
    find,
    keep,
    mix,
    prune,
    rank,
)
from xlsr.decoding.search.steps import TOKEN, at_end_of_word, end_word, follow_closed, follow_open, merge, offer


@compiled
def search(emissions: Floats, model: Model, rules: Rules, nbest: int) -> tuple[NDArray[np.float64], Ints, Ints, Ints]:
    """Return the best prefixes of log-probabilities, best first.

    Args:
        emissions: (frames, vocab) natural log-probabilities, finite.
        model: arrays.
        rules: numbers.
        nbest: return so many at most.

    Returns:
        (found, 3) float64 score, acoustic part and language model's part; (found,) int32 node of the lexicon where the
        prefix stops within a word, else 0; the symbols of all, one after the other; (found + 1,) where each begins.
        Symbol s < vocab is a token, vocab + e a word by spelling e.
    """
    size = rules.beam_size
    vocab = emissions.shape[1]
    beams, spare = np.zeros(size, PREFIX), np.zeros(size, PREFIX)
    pool = np.zeros(max(4 * size, size + rules.branching) + 1, PREFIX)  # the last record is for scribbling
    order, table = np.zeros(len(pool), np.int32), np.zeros(_power_of_two(2 * len(pool)), np.int32)
    trace = np.zeros((max(4096, 4 * size), 2), np.int32)
    tokens = model.tokens[: rules.beam_size_token].copy()
    is_tried, child_of = np.zeros(vocab, np.uint8), np.full(vocab, OUTSIDE, np.int32)
    floor = np.zeros(1)  # nothing below it can be kept
    _start(beams[0], rules)
    count = min(1, size)  # not a literal, for which all below would be compiled once more
    used = found = count - 1
    for frame in range(len(emissions)):
        row = emissions[frame]
        if frame == 0 or len(tokens) < len(model.tokens):
            _choose(row, model.tokens, tokens, is_tried)
        if used + count > len(trace) - size:
            trace, used = compact(trace, used, beams, count)
        found = _stay(row, beams, count, pool, table, rules, floor)
        for i in range(count):
            found = _make_room(pool, table, found, order, spare, rules, floor)
            if rules.closed:
                found = follow_closed(row, beams[i], pool, table, found, is_tried, model, rules, floor)
            else:
                found = follow_open(row, beams[i], pool, table, found, tokens, child_of, model, rules, floor)
        rank(pool, found, rules.log_add)
        count = best(pool, found, size, rules.beam_threshold, order)
        used = keep(beams, pool, order, count, trace, used)
    table[:] = -1
    floor[0] = -np.inf
    found = used - used
    for i in range(count):
        found = _make_room(pool, table, found, order, spare, rules, floor)
        found = _end(beams[i], pool, table, found, model, rules, floor)
    found = _close(beams, count, pool, found, model, rules)
    return _read(pool, order, best(pool, found, min(nbest, size), rules.beam_threshold, order), trace)


@compiled
def _power_of_two(least: int) -> int:
    size = 1
    while size < least:
        size *= 2
    return size


@compiled
def _choose(row: Floats, among: Tokens, tokens: Tokens, is_tried: NDArray[np.uint8]) -> None:
    """Fill `tokens` with the likeliest of a frame."""
    is_tried[tokens] = 0
    found = 0
    for token in among:
        if found == len(tokens) and not row[token] > row[tokens[found - 1]]:
            continue
        place = min(found, len(tokens) - 1)
        while place > 0 and row[tokens[place - 1]] < row[token]:
            tokens[place] = tokens[place - 1]
            place -= 1
        tokens[place] = token
        found = min(found + 1, len(tokens))
    is_tried[tokens] = 1


@compiled
def _start(prefix: Prefix, rules: Rules) -> None:
    """Make the empty prefix, which stands behind a delimiter, as it were."""
    prefix.last = rules.delimiter
    prefix.key = mix(prefix.history, TOKEN + prefix.last)
    prefix.blank = -np.inf if rules.delimiter >= 0 else 0.0
    prefix.token = 0.0 if rules.delimiter >= 0 else -np.inf
    prefix.state = rules.start
    prefix.trace = prefix.symbol = -1


@compiled
def _stay(
    row: Floats, beams: Prefixes, count: int, pool: Prefixes, table: Ints, rules: Rules, floor: NDArray[np.float64]
) -> int:
    """Go on with the prefixes as they are: by a blank, or by their last token."""
    table[:] = -1
    top, bottom = -np.inf, np.inf
    for i in range(count):
        pool[i] = beams[i]
        prefix = pool[i]
        last = int(prefix.last)
        if last >= 0:
            is_between = last == rules.delimiter and prefix.node == 0
            prefix.token = (prefix.total if is_between else prefix.token) + row[last]
        prefix.blank = prefix.total + row[rules.blank]
        score = max(prefix.blank, prefix.token) + prefix.lm + prefix.bonus + prefix.look
        top, bottom = max(top, score), min(bottom, score)
        enter(pool, table, i)
    floor[0] = top - rules.beam_threshold
    if count == rules.beam_size:
        floor[0] = max(floor[0], bottom)
    return count


@compiled
def _make_room(
    pool: Prefixes, table: Ints, found: int, order: Ints, spare: Prefixes, rules: Rules, floor: NDArray[np.float64]
) -> int:
    """Drop what cannot be kept where the pool could become too small for one more prefix's successors."""
    if found + rules.branching < len(pool):
        return found
    rank(pool, found, rules.log_add)
    kept = prune(pool, table, found, rules.beam_size, rules.beam_threshold, order, spare)
    if kept == rules.beam_size:
        bottom = np.inf
        for i in range(kept):
            bottom = min(bottom, pool[i].score)
        floor[0] = max(floor[0], bottom)
    return kept


@compiled
def _end(
    beam: Prefix, pool: Prefixes, table: Ints, found: int, model: Model, rules: Rules, floor: NDArray[np.float64]
) -> int:
    """Offer what a prefix becomes when the recording ends: that ends a word as a delimiter does."""
    word = at_end_of_word(pool, beam, beam.total, rules.delimiter)
    if beam.node != 0 and rules.delimiter >= 0:
        return end_word(word, beam.node, pool, table, found, model, rules, floor)
    if beam.node != 0 and rules.closed:
        return found
    key = mix(word.history, TOKEN + word.last)
    slot = find(pool, table, key)
    if table[slot] >= 0:
        merge(pool[table[slot]], word.token, word.trace, word.symbol, rules)
        return found
    pool[found] = word
    pool[found].key, pool[found].look = key, 0.0
    return offer(pool[found], word.token, slot, table, found, rules, floor)


@compiled
def _close(beams: Prefixes, count: int, pool: Prefixes, found: int, model: Model, rules: Rules) -> int:
    """Add the end of the sentence to what was found; where no prefix ends with a word, to all as they are."""
    if found == 0:
        for i in range(count):
            pool[i] = beams[i]
        found = count
    for i in range(found):
        prefix = pool[i]
        prefix.look = 0.0
        if rules.lm_unit != NO_LM:
            gain, prefix.state = advance(model.lm, prefix.state, rules.end)
            prefix.lm += rules.lm_weight * gain
        if model.hot.first_end >= 0:
            prefix.bonus -= model.hot.states[prefix.hot].open
    rank(pool, found, rules.log_add)
    return found


@compiled
def _read(pool: Prefixes, order: Ints, count: int, trace: Ints) -> tuple[NDArray[np.float64], Ints, Ints, Ints]:
    """Return scores, nodes and symbols of the first `count` of `order`, as `search` says."""
    figures, nodes = np.empty((count, 3)), np.zeros(count, np.int32)
    starts = np.zeros(count + 1, np.int32)
    for i in range(count):
        prefix = pool[order[i]]
        figures[i, 0], figures[i, 1], figures[i, 2] = prefix.score, prefix.total, prefix.lm
        nodes[i] = max(prefix.node, 0)
        length = 1 if prefix.symbol >= 0 else 0
        row = int(prefix.trace)
        while row >= 0:
            length, row = length + 1, trace[row, 0]
        starts[i + 1] = starts[i] + length
    symbols = np.empty(starts[count], np.int32)
    for i in range(count):
        prefix = pool[order[i]]
        place = starts[i + 1]
        if prefix.symbol >= 0:
            place -= 1
            symbols[place] = prefix.symbol
        row = int(prefix.trace)
        while row >= 0:
            place -= 1
            symbols[place] = trace[row, 1]
            row = trace[row, 0]
    return figures, nodes, symbols, starts
