"""Seams: a long recording in a hundred random windowings, against its decode in one piece.

    python benchmarks/seams.py RECORDING [--model default] [--seconds 150] [--windowings 100]

RECORDING is a file, or a manifest whose recordings are joined with pauses of 0.3 to 1.5 s. Windows are 8 to 30 s long and share
2 to 5 s, at random. Two questions are asked:

1. At every seam, of the words within a second of it: what both windows heard must come out once. Where they heard the same
   and something else came out, a word was lost or doubled, and it is listed.
2. Which words differ from those of the whole at once, near seams and elsewhere; each is listed. A network that normalises
   over what it is given reads a window a little differently from the whole, so some do everywhere; seams add nothing if they are
   not denser there.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

import xlsr
from xlsr.audio import num_frames, windows
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.results import Word
from xlsr.stitching import Stretch, stitch

NEAR_FRAMES = 50


class Seam(NamedTuple):
    """What both windows heard around a seam, and what came out."""

    seconds: float
    left: list[str]
    right: list[str]
    out: list[str]


def read(path: Path, seconds: float) -> NDArray[np.float32]:
    """So many seconds of a recording, or of a manifest's, one speaker after the other."""
    if path.suffix != ".jsonl":
        return xlsr.load_audio(path)[: round(seconds * 16_000)]
    rng = np.random.default_rng(0)
    parts: list[NDArray[np.float32]] = []
    for utterance in sorted(read_manifest(path), key=lambda u: u.speaker or ""):
        pause = rng.normal(0, 1e-3, round(rng.uniform(0.3, 1.5) * 16_000)).astype(np.float32)
        parts += [load_utterance(utterance), pause]
        if sum(map(len, parts)) > seconds * 16_000:
            break
    return np.concatenate(parts)[: round(seconds * 16_000)]


def near(words: Sequence[Word], frame: int) -> list[str]:
    """The words whose middle lies within a second of a frame; in half frames, so that nothing is rounded."""
    return [word.text for word in words if abs(round((word.start + word.end) * 50) - 2 * frame) <= 2 * NEAR_FRAMES]


def seams(
    model: xlsr.Recognizer, parts: Sequence[Stretch], joined: Sequence[Stretch], words: Sequence[Word]
) -> Iterator[Seam]:
    read = [model.decode(part.log_probs, first_frame=part.first_frame) for part in parts]
    for (left, right), piece in zip(pairwise(read), joined[:-1], strict=True):
        frame = piece.end_frame
        yield Seam(frame / 50, near(left, frame), near(right, frame), near(words, frame))


def differences(whole: Sequence[Word], words: Sequence[Word]) -> Iterator[tuple[float, str, str]]:
    """The time of each word that was substituted, left out or put in, and what it was and became; "" is nothing."""
    texts = [[word.text for word in side] for side in (whole, words)]
    for edit in Levenshtein.editops(*texts):
        was = "" if edit.tag == "insert" else texts[0][edit.src_pos]
        is_now = "" if edit.tag == "delete" else texts[1][edit.dest_pos]
        yield (words[edit.dest_pos] if is_now else whole[edit.src_pos]).start, was, is_now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--windowings", type=int, default=100)
    arguments = parser.parse_args()
    model = xlsr.load_model(arguments.model, threads=1)
    waveform = read(arguments.recording, arguments.seconds)
    total = num_frames(len(waveform))
    whole_rows = model.engine.log_probs([waveform])[0]
    whole = model.decode(whole_rows)
    rng = np.random.default_rng(0)
    counts: Counter[str] = Counter()
    apart: list[float] = []
    flips: list[float] = []
    changes: Counter[tuple[int, str, str]] = Counter()
    for number in range(arguments.windowings):
        size = int(rng.integers(400, 1501))
        shared = int(rng.integers(100, min(250, size // 2) + 1))
        parts = [
            Stretch(window.first_frame, model.engine.log_probs([window.waveform])[0])
            for window in windows([waveform], window_frames=size, overlap_frames=shared)
        ]
        joined = list(stitch(parts, model.tokenizer.blank_id))
        rows = np.concatenate([part.log_probs for part in joined])
        apart.append(np.abs(np.exp(rows) - np.exp(whole_rows)).max(axis=1).mean())
        flips.append((rows.argmax(axis=1) != whole_rows.argmax(axis=1)).mean())
        words = model.decode(rows)
        for seam in seams(model, parts, joined, words):
            kind = "the windows disagree, and" if seam.left != seam.right else "the windows agree, and"
            right = seam.out in (seam.left, seam.right)
            counts[f"{kind} {'what one of them heard' if right else 'something else'} came out"] += 1
            if not right:
                print(f"windowing {number}, {seam.seconds:.2f} s: {seam.left} | {seam.right} -> {seam.out}")
        frames = np.array([part.end_frame for part in joined[:-1]])
        for seconds, was, is_now in differences(whole, words):
            changes[round(seconds), was, is_now] += 1
            counts[
                "different near a seam" if np.abs(frames - seconds * 50).min() <= NEAR_FRAMES else "different elsewhere"
            ] += 1
        close = np.abs(np.arange(total)[:, None] - frames).min(axis=1) <= NEAR_FRAMES
        counts["seconds near a seam"] += int(close.sum()) // 50
        counts["seconds elsewhere"] += int((~close).sum()) // 50
        counts["equal texts"] += [word.text for word in words] == [word.text for word in whole]
    print(f"{model.description.name}, {total / 50:.0f} s, {len(whole)} words, {arguments.windowings} windowings")
    print(
        f"probabilities differ from the whole's by {np.mean(apart):.4f} on average, {np.mean(flips):.2%} of frames change their best symbol"
    )
    for name in sorted(counts):
        print(f"{counts[name]:7d} {name}")
    for (seconds, was, is_now), count in sorted(changes.items()):
        print(f"{seconds:5d} s: {was or '-'} -> {is_now or '-'} in {count} windowings")
    for place in ("near a seam", "elsewhere"):
        print(
            f"{counts[f'different {place}'] / counts[f'seconds {place}'] * 60:.2f} words a minute differ from the whole {place}"
        )


if __name__ == "__main__":
    main()
