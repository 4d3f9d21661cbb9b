"""Small networks and signals that several tests share."""

from __future__ import annotations

import numpy as np
import torch

from xlsr.config import Wav2Vec2Config
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

TINY = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "vocab_size": 8, "layerdrop": 0.0,
}  # fmt: skip
BASE = {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False}
LARGE = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
ARCHITECTURES = {"base": TINY | BASE, "large": TINY | LARGE}


def tiny(architecture: str, seed: int = 0, **changes) -> Wav2Vec2ForCTC:
    """A tiny network with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC(Wav2Vec2Config.from_dict(ARCHITECTURES[architecture] | changes))
    with torch.no_grad():  # fresh heads and norms are too tame to show a difference
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def noise(*sizes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A padded batch of random waveforms: (batch, samples), (batch,)."""
    rng = np.random.default_rng(seed)
    batch = np.zeros((len(sizes), max(sizes)), dtype=np.float32)
    for row, size in zip(batch, sizes, strict=True):
        row[:size] = rng.standard_normal(size)
    return torch.from_numpy(batch), torch.tensor(sizes)
