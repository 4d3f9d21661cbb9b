"""Building, loading and scoring an n-gram language model: ours against KenLM, in turn.

    python benchmarks/ngram.py TEXT [--lmplz PATH] [--order 3] [--rounds 3]

Building is a fresh process each, from the same normalised text to an ARPA file: `xlsr lm build`, and KenLM's `lmplz`, which
comes with no Python package: without it only ours is measured. Of both the processor time is told too, since the wall
clock of a shared machine says little. Then the kenlm package scores both models on every hundredth line, which was held
out. Loading and scoring are in this process, after everything was compiled. Linux; needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kenlm
import numpy as np

from xlsr.decoding.ngram import NGram
from xlsr.decoding.ngram.lookup import score_ids
from xlsr.decoding.ngram.text import Normalization, read_lines


def processor_seconds(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def run(command: list[str], stdin: Path, stdout: Path) -> tuple[float, float]:
    """Wall and processor seconds of a process."""
    before, started = processor_seconds(resource.RUSAGE_CHILDREN), time.perf_counter()
    with stdin.open("rb") as source, stdout.open("wb") as target:
        subprocess.run(command, stdin=source, stdout=target, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started, processor_seconds(resource.RUSAGE_CHILDREN) - before


def timed(work: Callable[[], object], rounds: int) -> float:
    """Least seconds of several runs."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def build(text: Path, folder: Path, order: int, rounds: int, lmplz: str | None) -> dict[str, list[tuple[float, float]]]:
    commands = {
        "xlsr": (
            [sys.executable, "-m", "xlsr", "lm", "build", str(text), str(folder / "xlsr.arpa"), "--order", str(order)],
            folder / "log",
        )
    }
    if lmplz:
        commands["lmplz"] = ([lmplz, "-o", str(order), "-S", "1G", "-T", str(folder)], folder / "lmplz.arpa")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (command, out) in commands.items():
            found[name].append(run(command, text, out))
    return found


def perplexity(path: Path, lines: list[str]) -> float:
    model = kenlm.Model(str(path))
    return 10 ** (-sum(model.score(line) for line in lines) / sum(len(line.split()) + 1 for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--lmplz")
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = [" ".join(words) for words in map(Normalization().words, read_lines(arguments.text)) if words]
    held_out, kept = lines[::100], [line for place, line in enumerate(lines) if place % 100]
    tokens = sum(len(line.split()) for line in kept)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        text = folder / "text"
        text.write_text("\n".join(kept) + "\n", "utf-8")
        print(f"{len(kept):,} sentences, {tokens:,} words, order {arguments.order}; {os.cpu_count()} cores")
        for name, rows in build(text, folder, arguments.order, arguments.rounds, arguments.lmplz).items():
            wall, processor = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"{name:<6} builds in {wall:.2f} s, {tokens / wall:,.0f} tokens/s; processor {processor:.2f} s, {tokens / processor:,.0f} tokens/s; "
                  f"perplexity of {len(held_out):,} held-out lines {perplexity(folder / f'{name}.arpa', held_out):.4f}")  # fmt: skip

        model = NGram.load(folder / "xlsr.arpa")
        model.save(folder / "mapped.ngram")
        model.save(folder / "packed.ngram", quantize=True)
        kenlm.Model(str(folder / "xlsr.arpa"))
        for name in ("mapped.ngram", "packed.ngram", "xlsr.arpa"):
            seconds = timed(lambda name=name: NGram.load(folder / name), arguments.rounds)
            print(f"xlsr loads {name}, {(folder / name).stat().st_size / 1e6:.1f} MB, in {1000 * seconds:.0f} ms")
        seconds = timed(lambda: kenlm.Model(str(folder / "xlsr.arpa")), arguments.rounds)
        print(f"kenlm loads xlsr.arpa in {1000 * seconds:.0f} ms")

        scored = kept[::10]
        ids = np.array([model.id_of(word) for line in scored for word in (*line.split(), "</s>")], np.int32)
        theirs = kenlm.Model(str(folder / "xlsr.arpa"))
        ours_total = score_ids(model.arrays, model.start, ids, model.end_id).sum(dtype=np.float64) / math.log(10)
        theirs_total = sum(theirs.score(line) for line in scored)
        seconds = timed(lambda: score_ids(model.arrays, model.start, ids, model.end_id), arguments.rounds)
        print(f"xlsr advances {len(ids) / seconds / 1e6:.2f} M words/s (log10 probability {ours_total:.2f})")
        seconds = timed(lambda: [theirs.score(line) for line in scored], arguments.rounds)
        print(f"kenlm scores {len(ids) / seconds / 1e6:.2f} M words/s, from text ({theirs_total:.2f})")


if __name__ == "__main__":
    main()
