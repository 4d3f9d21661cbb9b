"""Loading base from safetensors on a CPU: ours against transformers, in turn, each in a fresh process.

    python benchmarks/load.py [--rounds 5]

Times the loading call alone, after the imports. Peak memory is the process's after every weight was read once (they are
memory-mapped), less what was resident before the call, over the size of the weights. Linux; needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers

MEASURE = """
import resource, sys, time
{imports}
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
started = time.perf_counter()
model = {call}
seconds = time.perf_counter() - started
network = getattr(model, "network", model)
sum(float(p.detach().sum()) for p in network.parameters())
print(seconds, next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024 - before)
"""
SYSTEMS = {
    "transformers": ("from transformers import Wav2Vec2ForCTC", "Wav2Vec2ForCTC.from_pretrained(sys.argv[1])"),
    "xlsr": (
        "from pathlib import Path; from xlsr.checkpoint.load import load_checkpoint",
        "load_checkpoint(Path(sys.argv[1]))",
    ),
}


def measure(system: str, folder: Path) -> tuple[float, float]:
    """Seconds and MiB of one load in a fresh process."""
    imports, call = SYSTEMS[system]
    code = MEASURE.format(imports=imports, call=call)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        torch.manual_seed(0)
        transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config()).save_pretrained(folder)
        weights = (folder / "model.safetensors").stat().st_size / 2**20
        found: dict[str, list[tuple[float, float]]] = {system: [] for system in SYSTEMS}
        for _ in range(arguments.rounds):
            for system, rows in found.items():
                rows.append(measure(system, folder))
    medians = {system: statistics.median(s for s, _ in rows) for system, rows in found.items()}
    print(f"base, {weights:.0f} MiB; torch {torch.__version__}, transformers {transformers.__version__}")
    for system, rows in found.items():
        memory = statistics.median(m for _, m in rows)
        print(f"{system:<13} {medians[system]:7.3f} s (min {min(s for s, _ in rows):.3f}), "
              f"{medians[system] / medians['transformers']:.2f} x transformers; "
              f"peak {memory:.0f} MiB, {memory / weights:.2f} x the weights")  # fmt: skip


if __name__ == "__main__":
    main()
