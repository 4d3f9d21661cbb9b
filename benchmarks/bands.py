"""Whether the band of a recording is found: real recordings as they are, and the same through 8 and 11.025 kHz.

    python benchmarks/bands.py DATA [--recordings 40]

DATA has a folder a corpus with `manifest.jsonl`; so many recordings of each are drawn. Those that were recorded at 8 kHz are
put into files of 16 kHz. Prints for each corpus how many end below 4.5 kHz, which is what is noted of a file, and how many
end anywhere below 8 kHz.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr

from xlsr.audio import SAMPLE_RATE, open_audio
from xlsr.audio.conditions import Heard
from xlsr.data.manifest import load_utterance, read_manifest

NARROW_HERTZ, WIDE_HERTZ = 4_500, 8_000
THROUGH: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda samples: samples,
    **{
        f"through {rate / 1000:g} kHz": lambda samples, rate=rate: soxr.resample(
            soxr.resample(samples, SAMPLE_RATE, rate), rate, SAMPLE_RATE
        )
        for rate in (8_000, 11_025)
    },
}


def band(samples: np.ndarray) -> int | None:
    """Up to where a recording holds sound, in Hz; None: it is silent."""
    heard = Heard(open_audio((samples.astype(np.float32), SAMPLE_RATE)))
    for _ in heard:
        pass
    return heard.info.bandwidth_hertz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recordings", type=int, default=40)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    print("| corpus | recorded at | heard | recordings | below 4.5 kHz | below 8 kHz |\n|---|---|---|---|---|---|")
    for manifest in sorted(arguments.data.glob("*/manifest.jsonl")):
        utterances = [u for u in read_manifest(manifest) if u.kind is None]
        if not utterances:
            continue
        drawn = [utterances[place] for place in rng.permutation(len(utterances))[: arguments.recordings]]
        waveforms = [load_utterance(utterance)[: 30 * SAMPLE_RATE] for utterance in drawn]
        rate = min(u.sample_rate or 0 for u in drawn)
        for name, change in THROUGH.items():
            bands = [found for waveform in waveforms if (found := band(change(waveform))) is not None]
            counts = [sum(found < limit for found in bands) for limit in (NARROW_HERTZ, WIDE_HERTZ)]
            print(
                f"| {manifest.parent.name} | {rate} | {name} | {len(bands)} | {counts[0]} | {counts[1]} |", flush=True
            )


if __name__ == "__main__":
    main()
