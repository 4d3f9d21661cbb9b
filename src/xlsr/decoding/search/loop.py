"""Frame after frame: prefixes stay or go on, the best are kept; at the end, words and sentences are closed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xlsr.compiled import compiled, compiled_in_place
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
    find,
    keep,
    rank,
    thin,
)
from xlsr.decoding.search.steps import Frame, end_here, end_words, follow_closed, follow_open, start


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
    size, vocab = rules.beam_size, emissions.shape[1]
    beams, spare = np.zeros(size, PREFIX), np.zeros(size, PREFIX)
    trace = np.zeros((max(4096, 4 * size), 2), np.int32)
    room = max(min(1024, size * (rules.branching + 1)), 4 * size, size + rules.branching) + 1
    order = np.zeros(room, np.int32)
    frame = Frame(
        np.zeros(room, PREFIX), np.zeros(_power_of_two(2 * room), np.int32), np.zeros(1, np.int64), np.zeros(1),
        model.tokens[: rules.beam_size_token].copy(), np.zeros(vocab, np.uint8), np.full(vocab, OUTSIDE, np.int64),
    )  # fmt: skip
    silence = np.zeros(vocab, np.float32)
    start(beams[0], rules)
    count = min(1, size)  # not a literal, for which all below would be compiled once more
    used = count - 1
    for place in range(len(emissions)):
        row = emissions[place]
        if used + count > len(trace) - size:
            trace, used = compact(trace, used, beams, count)
        _choose(row, model.tokens, frame)
        _stay(row, beams, count, frame, rules)
        for i in range(count):
            _make_room(frame, order, spare, rules)
            if rules.closed:
                follow_closed(row, beams[i], frame, model, rules)
            else:
                follow_open(row, beams[i], frame, model, rules)
            end_words(row, beams[i], frame, model, rules)
        rank(frame.pool, frame.found[0], rules.log_add)
        if nbest == 1 and frame.found[0] > size:
            frame.table[:] = -1
            thin(frame.pool, frame.found[0], frame.table)
        count = best(frame.pool, frame.found[0], size, rules.beam_threshold, order)
        used = keep(beams, frame.pool, order, count, trace, used)
    _clear(frame)
    for i in range(count):
        _make_room(frame, order, spare, rules)
        if beams[i].node == 0 or (rules.delimiter < 0 and not rules.closed):
            end_here(beams[i], frame, rules)
        elif rules.delimiter >= 0:
            end_words(silence, beams[i], frame, model, rules)
    _close(beams, count, frame, model, rules)
    count = best(frame.pool, frame.found[0], min(nbest, size), rules.beam_threshold, order)
    return _read(frame.pool, order, count, trace)


@compiled_in_place
def _power_of_two(least: int) -> int:
    size = 1
    while size < least:
        size *= 2
    return size


@compiled_in_place
def _choose(row: Floats, among: Tokens, frame: Frame) -> None:
    """Choose the tokens of a frame: the likeliest."""
    tokens, is_tried = frame.tokens, frame.is_tried
    is_tried[:] = 0
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
    for token in tokens:
        is_tried[token] = 1


@compiled_in_place
def _stay(row: Floats, beams: Prefixes, count: int, frame: Frame, rules: Rules) -> None:
    """Begin a frame with the prefixes as they are, gone on by a blank or by their last token."""
    frame.table[:] = -1
    frame.found[0] = 0
    top, bottom = -np.inf, np.inf
    for i in range(count):
        frame.pool[i] = beams[i]
        prefix: Prefix = frame.pool[i]
        last = prefix.last
        if last >= 0:
            is_between = last == rules.delimiter and prefix.node == 0
            prefix.token = (prefix.total if is_between else prefix.token) + row[last]
        prefix.blank = prefix.total + row[rules.blank]
        score = max(prefix.blank, prefix.token) + prefix.lm + prefix.bonus + prefix.look
        top, bottom = max(top, score), min(bottom, score)
        frame.table[find(frame.pool, frame.table, prefix.key)] = i
    frame.found[0] = count
    frame.floor[0] = top - rules.beam_threshold
    if count == rules.beam_size:
        frame.floor[0] = max(frame.floor[0], bottom)


@compiled_in_place
def _make_room(frame: Frame, order: Ints, spare: Prefixes, rules: Rules) -> None:
    """Drop what cannot be kept where the pool could become too small for what follows one more prefix."""
    if frame.found[0] + rules.branching < len(frame.pool):
        return
    pool, table = frame.pool, frame.table
    rank(pool, frame.found[0], rules.log_add)
    kept = best(pool, frame.found[0], rules.beam_size, rules.beam_threshold, order)
    bottom = np.inf
    for i in range(kept):
        spare[i] = pool[order[i]]
        bottom = min(bottom, spare[i].score)
    table[:] = -1
    for i in range(kept):
        pool[i] = spare[i]
        table[find(pool, table, pool[i].key)] = i
    frame.found[0] = kept
    if kept == rules.beam_size:
        frame.floor[0] = max(frame.floor[0], bottom)


@compiled_in_place
def _clear(frame: Frame) -> None:
    """Begin the last frame, where the recording ends."""
    frame.table[:] = -1
    frame.found[0], frame.floor[0] = 0, -np.inf
    frame.is_tried[:] = 1


@compiled_in_place
def _close(beams: Prefixes, count: int, frame: Frame, model: Model, rules: Rules) -> None:
    """End the sentence of what was found; where no prefix ends with a word, take all as they are."""
    pool = frame.pool
    if frame.found[0] == 0:
        for i in range(count):
            pool[i] = beams[i]
        frame.found[0] = count
    for i in range(frame.found[0]):
        prefix: Prefix = pool[i]
        prefix.look = 0.0
        if rules.lm_unit != NO_LM and rules.end >= 0:
            gain, prefix.state = advance(model.lm, prefix.state, rules.end)
            prefix.lm += rules.lm_weight * gain
        if model.hot.first_end >= 0:
            prefix.bonus -= model.hot.states[prefix.hot].open
    rank(pool, frame.found[0], rules.log_add)


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
