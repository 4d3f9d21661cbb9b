"""One recording on a CPU: ours by OpenVINO and by torch against transformers, on the same weights, in turn.

    python benchmarks/cpu_offline.py [--size base|large] [--seconds 10] [--rounds 7] [--threads 2]

Random weights: time does not depend on them. All three get the same raw waveform and give log-probabilities; they take
turns in one process, and the medians and their ratios to transformers are printed. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import torch
import transformers

import xlsr
from xlsr.tokenizer import SPECIAL_SYMBOLS, Tokenizer

SIZES = {
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
             "conv_dim": [32] * 7},
    "base": {},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
              "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
}  # fmt: skip

Run = Callable[[np.ndarray], np.ndarray]


def systems(size: str, folder: Path, threads: int) -> dict[str, Run]:
    """The three systems on one set of random weights, each from a waveform to (frames, vocab) log-probabilities."""
    torch.manual_seed(0)
    theirs = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**SIZES[size])).eval()
    theirs.save_pretrained(folder)
    letters = [chr(ord("a") + index) for index in range(27)]
    Tokenizer.from_symbols([*SPECIAL_SYMBOLS, "|", *letters]).to_folder(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xlsr.export_model("openvino", folder, folder)

    def rival(waveform: np.ndarray) -> np.ndarray:
        inputs = extractor(waveform, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            return theirs(inputs.input_values).logits.log_softmax(-1)[0].numpy()

    return {
        "transformers": rival,
        "xlsr torch": xlsr.load_model(folder, engine="torch", threads=threads).log_probs,
        "xlsr openvino": xlsr.load_model(folder, engine="openvino", threads=threads).log_probs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    waveform = np.random.default_rng(0).standard_normal(round(arguments.seconds * 16_000)).astype(np.float32) * 0.1
    with tempfile.TemporaryDirectory() as folder:
        runs = systems(arguments.size, Path(folder), arguments.threads)
        found = {name: run(waveform) for name, run in runs.items()}  # also warms up
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                started = time.perf_counter()
                run(waveform)
                times[name].append(time.perf_counter() - started)
    print(f"{arguments.size}, {arguments.seconds:g} s of audio, fp32, {arguments.threads} threads, {platform.machine()}; "
          f"torch {torch.__version__}, transformers {transformers.__version__}, openvino {openvino.__version__}")  # fmt: skip
    rival = statistics.median(times["transformers"])
    print(
        f"{'system':<15} {'median s':>9} {'min':>7} {'max':>7} {'x real time':>12} {'ratio':>6} {'largest difference':>19}"
    )
    for name, taken in times.items():
        median = statistics.median(taken)
        difference = np.abs(found[name] - found["transformers"]).max()
        print(f"{name:<15} {median:9.3f} {min(taken):7.3f} {max(taken):7.3f} {arguments.seconds / median:12.1f} "
              f"{rival / median:6.2f} {difference:19.1e}")  # fmt: skip


if __name__ == "__main__":
    main()
