"""Memory over a recording of ten hours.

    python benchmarks/memory.py RECORDING [--model default] [--hours 10] [--threads 1] [--plot OUT.svg]

RECORDING is repeated to a FLAC file of so many hours, which a fresh process transcribes as `xlsr transcribe` does, segment
by segment; after each segment of another minute its resident memory is read from /proc. Printed are the memory before the
first segment, its mean in the first and the last hour, the peak, and the speed. `--plot` wants the extra `report`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

import xlsr

LISTEN = """
import json, sys, xlsr
def memory(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024
model = xlsr.load_model(sys.argv[2], threads=int(sys.argv[3]))
samples, words, minute = [(0.0, memory("VmRSS"))], 0, 0
for segment in model.transcribe_stream(sys.argv[1]):
    words += len(segment.words)
    if segment.end // 60 > minute:
        minute = segment.end // 60
        samples.append((segment.end, memory("VmRSS")))
print(json.dumps({"samples": samples, "words": words, "peak": memory("VmHWM")}))
"""


def repeat(recording: Path, hours: float, out: Path) -> None:
    waveform = xlsr.load_audio(recording)
    left = round(hours * 3600 * 16_000)
    with soundfile.SoundFile(out, "w", 16_000, 1) as file:
        for part in itertools.repeat(waveform):
            file.write(part[:left])
            left -= len(part)
            if left <= 0:
                return


def plot(samples: np.ndarray, out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((6.4, 2.8), layout="constrained")
    axes = figure.add_subplot(xlabel="hours of the recording", ylabel="resident memory, MiB")
    axes.plot(samples[:, 0] / 3600, samples[:, 1], linewidth=1)
    axes.set_ylim(bottom=0)
    figure.savefig(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.flac"
        repeat(arguments.recording, arguments.hours, path)
        command = [sys.executable, "-c", LISTEN, str(path), arguments.model, str(arguments.threads)]
        started = time.perf_counter()
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        seconds = time.perf_counter() - started
    samples = np.array(found["samples"])
    end = samples[-1, 0]
    first, last = (samples[(samples[:, 0] > start) & (samples[:, 0] <= start + 3600), 1] for start in (0, end - 3600))
    print(f"{end / 3600:.2f} h, {found['words']} words, {end / seconds:.0f} x real time; "
          f"memory {samples[0, 1]:.0f} MiB before, {first.mean():.1f} in the first hour, {last.mean():.1f} in the last, "
          f"{found['peak']:.0f} at most")  # fmt: skip
    if arguments.plot:
        plot(samples, arguments.plot)


if __name__ == "__main__":
    main()
