"""Forced alignment: how fast and in what memory, how near to true boundaries, and whether it drifts.

    python benchmarks/alignment.py kernel [--frames 15000] [--tokens 3000]
    python benchmarks/alignment.py joined MANIFEST [--split test] [--model default] [--minutes 30]
    python benchmarks/alignment.py phones MANIFEST --model PHONES [--split test]

`kernel`: random log-probabilities of 32 symbols; the processor time of one thread, the memory above the arguments.
`joined`: recordings of a manifest with texts (fsdd, librispeech_test_other_part) joined with pauses of 0.1 to 0.8 s, so
that the place of each is known. Errors are those of the first word's beginning and the last word's end against the edges
of the recording (of which the silence inside a recording is a constant part). Drift is what changes over the file: each
word's beginning in the long file against the same word aligned in its own recording.
`phones`: recordings with phones and their times (voxangeles); errors of each boundary between two phones, of the
beginning of the first and the end of the last.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from pathlib import Path

import numpy as np

import xlsr
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.errors import AlignmentError
from xlsr.normalize import normalize_text

RATE = 16_000


def kernel(arguments: argparse.Namespace) -> None:
    random = np.random.default_rng(0)
    log_probs = random.normal(size=(arguments.frames, 32)).astype(np.float32)
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    ids = random.integers(1, 32, arguments.tokens)
    xlsr.forced_align(log_probs[:100], ids[:10])  # compiles, or loads what was compiled
    taken = []
    for _ in range(arguments.rounds):
        started, worked = time.perf_counter(), time.process_time()
        xlsr.forced_align(log_probs, ids)
        taken.append((time.perf_counter() - started, time.process_time() - worked))
    tracemalloc.start()
    xlsr.forced_align(log_probs, ids)
    peak = tracemalloc.get_traced_memory()[1]
    wall, worked = np.median(taken, axis=0)
    print(f"{arguments.frames} frames x {arguments.tokens} tokens: {wall:.3f} s, {worked:.3f} s of processor time, median of "
          f"{len(taken)}; memory at most {peak / 2**20:.1f} MiB over the log-probabilities, which take "
          f"{log_probs.nbytes / 2**20:.1f}; a byte for each cell would be {arguments.frames * (2 * arguments.tokens + 1) / 2**20:.1f}")  # fmt: skip


def joined(arguments: argparse.Namespace) -> None:
    model = xlsr.load_model(arguments.model)
    random = np.random.default_rng(0)
    utterances = [u for u in read_manifest(arguments.manifest, split=arguments.split) if u.text]
    parts: list[np.ndarray] = []
    edges: list[tuple[float, float]] = []
    texts: list[str] = []
    alone: list[list[float]] = []
    known: dict[int, tuple[np.ndarray, list[float]]] = {}
    at = 0
    while at < arguments.minutes * 60 * RATE:
        pick = int(random.integers(len(utterances)))
        text = normalize_text(utterances[pick].text, drop_punctuation=True)
        pause = np.full(int(RATE * random.uniform(0.1, 0.8)), 1e-5, np.float32)
        if pick not in known:
            samples = load_utterance(utterances[pick])
            try:
                words = model.align(np.concatenate([pause, samples, pause]), text).words
            except AlignmentError:  # too short to hold its text
                continue
            known[pick] = samples, [word.start - len(pause) / RATE for word in words]
        samples, starts = known[pick]
        parts += [pause, samples]
        at += len(pause)
        edges.append((at / RATE, (at + len(samples)) / RATE))
        texts.append(text)
        alone.append(starts)
        at += len(samples)
    started = time.perf_counter()
    found = model.align(np.concatenate(parts), "\n".join(texts))
    taken = time.perf_counter() - started
    assert len(found.segments) == len(texts)
    report_joined(found, edges, alone)
    print(f"{at / RATE / 60:.1f} minutes, {len(texts)} recordings of {len(known)}, {len(found.words)} words; "
          f"{at / RATE / taken:.0f} x real time, encoding included")  # fmt: skip


def report_joined(found: xlsr.Transcript, edges: list[tuple[float, float]], alone: list[list[float]]) -> None:
    starts = np.array([segment.words[0].start - edge[0] for segment, edge in zip(found.segments, edges, strict=True)])
    ends = np.array([segment.words[-1].end - edge[1] for segment, edge in zip(found.segments, edges, strict=True)])
    report("beginnings", starts)
    report("ends", ends)
    times = np.array([edge[0] for edge in edges])
    for name, errors in (("beginnings", starts), ("ends", ends)):
        drift(name, times, errors)
    pairs = [
        (edge[0] + own, word.start - edge[0] - own)
        for segment, edge, owns in zip(found.segments, edges, alone, strict=True)
        for word, own in zip(segment.words, owns, strict=True)
    ]
    places, moved = np.array(pairs).T
    drift("words against themselves alone", places, moved)
    print(
        f"  {np.mean(np.abs(moved) > 0.1):.1%} of words are moved by more than 100 ms, {np.mean(np.abs(moved) > 1):.1%} by more than 1 s"
    )


def drift(name: str, places: np.ndarray, errors: np.ndarray) -> None:
    """Print how the errors change from the first to the last five minutes, and by a line through all that are not gross."""
    first, last = places < 300, places > places[-1] - 300
    usual = np.abs(errors - np.median(errors)) < 0.5
    slope = np.polyfit(places[usual], errors[usual], 1)[0] * (places[-1] - places[0])
    print(f"drift of {name}: median {1e3 * np.median(errors[first]):+.1f} ms in the first five minutes, "
          f"{1e3 * np.median(errors[last]):+.1f} in the last; {1e3 * slope:+.1f} ms from end to end by a line")  # fmt: skip


def report(name: str, errors: np.ndarray) -> None:
    """Print the errors of boundaries, given in seconds."""
    size = 1e3 * np.abs(errors)
    print(f"{name}: median {np.median(size):.0f} ms, mean {size.mean():.0f} ms, 90 % within {np.quantile(size, 0.9):.0f} ms, "
          f"bias {1e3 * np.median(errors):+.0f} ms ({len(errors)})")  # fmt: skip


def phones(arguments: argparse.Namespace) -> None:
    model = xlsr.load_model(arguments.model)
    inner, first, last = [], [], []
    for utterance in read_manifest(arguments.manifest, split=arguments.split):
        true = utterance.alignment
        try:
            found = model.align(load_utterance(utterance), " ".join(interval.label for interval in true)).phones
        except AlignmentError as error:
            print(f"{utterance.name}: {error}")
            continue
        # Phones that the model does not have are wildcards, whose boundaries nobody heard.
        known = [phone.score is not None for phone in found]
        first += [found[0].start - true[0].start] if known[0] else []
        last += [found[-1].end - true[-1].end] if known[-1] else []
        for place in range(len(true) - 1):
            if true[place].end == true[place + 1].start and known[place] and known[place + 1]:
                inner.append((found[place].end + found[place + 1].start) / 2 - true[place].end)
    for name, errors in (("between phones", inner), ("first beginning", first), ("last end", last)):
        report(name, np.array(errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    questions = parser.add_subparsers(required=True)
    one = questions.add_parser("kernel")
    one.add_argument("--frames", type=int, default=15_000)
    one.add_argument("--tokens", type=int, default=3_000)
    one.add_argument("--rounds", type=int, default=5)
    one.set_defaults(ask=kernel)
    for ask in (joined, phones):
        one = questions.add_parser(ask.__name__)
        one.add_argument("manifest", type=Path)
        one.add_argument("--split", default="test")
        one.add_argument("--model", default="default")
        one.set_defaults(ask=ask)
    questions.choices["joined"].add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    arguments.ask(arguments)


if __name__ == "__main__":
    main()
