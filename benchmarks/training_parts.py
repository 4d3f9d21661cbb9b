"""What the parts of a training step that are our own take, beside torch's: medians of calls in turn, forward and backward.

    python benchmarks/training_parts.py [--rounds 15] [--threads 2]

The stem of the recipe `mini` on 2 x 12 s; dropout 0.1 on the activations of one layer; one step of the whole network in
fp32 and in bf16.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tomllib
from collections.abc import Callable

import torch
import torch.nn.functional as F

from xlsr.config import Wav2Vec2Config
from xlsr.model.dropout import dropout
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.training.recipe import SHIPPED


def medians(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call; all take turns, after a round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def plain_stem(stem: torch.nn.Module, waveforms: torch.Tensor) -> torch.Tensor:
    """The same convolutions with channels first, turned around for every norm."""
    x = waveforms.unsqueeze(1)
    for layer in stem.conv_layers:
        x = layer.activation(layer.layer_norm(layer.conv(x).transpose(1, 2)).transpose(1, 2))
    return x


def step(network: Wav2Vec2ForCTC, waveforms: torch.Tensor, *, bf16: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits, _ = network(waveforms)
    logits.float().sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    keys = tomllib.loads((SHIPPED / "mini.toml").read_text("utf-8"))["model"]["architecture"]
    network = Wav2Vec2ForCTC(Wav2Vec2Config.from_dict(keys | {"vocab_size": 32, "pad_token_id": 0})).train()
    stem, waveforms = network.wav2vec2.feature_extractor, torch.randn(2, 12 * 16_000)
    activations = torch.randn(2, 600, 1024, requires_grad=True)
    cases: dict[str, dict[str, Callable[[], object]]] = {
        "stem": {
            "torch": lambda: plain_stem(stem, waveforms).sum().backward(),
            "xlsr": lambda: stem(waveforms)[0].sum().backward(),
        },
        "dropout": {
            "torch": lambda: F.dropout(activations, 0.1).sum().backward(),
            "xlsr": lambda: dropout(activations, 0.1).sum().backward(),
        },
        "step": {
            "fp32": lambda: step(network, waveforms, bf16=False),
            "bf16": lambda: step(network, waveforms, bf16=True),
        },
    }
    for case, calls in cases.items():
        (first, before), (second, after) = medians(calls, arguments.rounds).items()
        print(f"{case:8} {first} {before * 1e3:.1f} ms, {second} {after * 1e3:.1f} ms, {after / before:.2f} x the time")


if __name__ == "__main__":
    main()
