"""Clips of many lengths through an exported graph, as a folder of recordings is: padded to half seconds, and as they are.

    python benchmarks/clip_lengths.py [MODEL ...] [--clips 60] [--rounds 3]

Every round opens the graph anew and hears each clip once, 1 to 16 seconds of noise, on one thread; the seconds are those
of the processor. Prints medians and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from unittest import mock

import numpy as np

import xlsr
from xlsr.audio import SAMPLE_RATE
from xlsr.engines import openvino


def seconds(model: str, clips: list[np.ndarray], step: int) -> float:
    """Processor seconds of hearing every clip once, padded to multiples of `step` samples."""
    with mock.patch.object(openvino, "_LENGTH_STEP", step):
        engine = xlsr.load_model(model, engine="openvino", threads=1).engine
        started = time.process_time()
        engine.log_probs(clips)
        return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["default"])
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    lengths = (rng.uniform(1.0, 16.0, arguments.clips) * SAMPLE_RATE).astype(int)
    clips = [rng.standard_normal(length).astype(np.float32) for length in lengths]
    step = openvino._LENGTH_STEP
    for model in arguments.models:
        found: dict[int, list[float]] = {step: [], 1: []}
        for _ in range(arguments.rounds):
            for padded_to, times in found.items():
                times.append(seconds(model, clips, padded_to))
        padded, plain = (statistics.median(times) for times in found.values())
        print(
            f"{model}: {sum(lengths) / SAMPLE_RATE:.0f} s of clips: {padded:.2f} s padded, {plain:.2f} s as they are, {plain / padded:.1f} x"
        )


if __name__ == "__main__":
    main()
