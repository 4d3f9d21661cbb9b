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


# Every public checkpoint that the reference describes, by the name of its file in `configs/`.
CHECKPOINTS = (
    "mms-1b", "mms-1b-all", "mms-300m", "w2v-bert-2.0", "wav2vec2-base", "wav2vec2-base-960h",
    "wav2vec2-conformer-rel-pos-large", "wav2vec2-conformer-rope-large", "wav2vec2-large-960h",
    "wav2vec2-large-960h-lv60-self", "wav2vec2-large-robust", "wav2vec2-large-robust-ft-libri-960h",
    "wav2vec2-large-xlsr-53", "wav2vec2-lv-60-espeak-cv-ft", "wav2vec2-xls-r-1b", "wav2vec2-xls-r-2b",
    "wav2vec2-xls-r-300m", "wav2vec2-xlsr-53-espeak-cv-ft",
)  # fmt: skip

_CONV = {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
_CODES = {"num_codevectors_per_group": 6, "codevector_dim": 8, "proj_codevector_dim": 12}
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
          "vocab_size": 8, "output_hidden_size": 32, "classifier_proj_size": 12, "layerdrop": 0.0}  # fmt: skip
_NARROW = {"conv_depthwise_kernel_size": 5, "left_max_position_embeddings": 4, "right_max_position_embeddings": 2}


def shrunk(keys: dict) -> dict:
    """The keys of a checkpoint's config.json with small sizes; every flag stays as it is."""
    small = _SMALL | _NARROW | ({} if keys["model_type"] == "wav2vec2-bert" else _CONV | _CODES)
    small = {key: value for key, value in small.items() if key in keys or key not in _NARROW}
    if keys.get("adapter_attn_dim"):
        small["adapter_attn_dim"] = 4
    return keys | small


CONFORMER = shrunk({"model_type": "wav2vec2-conformer", "feat_extract_norm": "layer", "conv_bias": True,
                    "hidden_act": "swish", "conv_depthwise_kernel_size": 31})  # fmt: skip
BERT = shrunk({"model_type": "wav2vec2-bert", **_NARROW})
THINNED = {"add_adapter": True, "num_adapter_layers": 2}
MORE = {
    "mms": TINY | LARGE | {"adapter_attn_dim": 4},
    "large-thinned": TINY | LARGE | THINNED,
    "base-thinned-wider": TINY | BASE | THINNED | {"output_hidden_size": 24, "num_adapter_layers": 1},
    "conformer-relative": CONFORMER | {"position_embeddings_type": "relative"},
    "conformer-rotary": CONFORMER | {"position_embeddings_type": "rotary"},
    "conformer-plain-group": CONFORMER | {"position_embeddings_type": None, "feat_extract_norm": "group"},
    "conformer-thinned": CONFORMER | THINNED,
    "bert": BERT,
    "bert-relative": BERT | {"position_embeddings_type": "relative"},
    "bert-rotary": BERT | {"position_embeddings_type": "rotary"},
    "bert-plain": BERT | {"position_embeddings_type": None},
    "bert-thinned": BERT | THINNED,
    "bert-thinned-wider": BERT | THINNED | {"output_hidden_size": 24, "use_intermediate_ffn_before_adapter": True},
}  # fmt: skip
"""Tiny networks of every architecture that base and large leave out, by the keys of their config.json."""

STEMS = {"wav2vec2": "Wav2Vec2", "wav2vec2-conformer": "Wav2Vec2Conformer", "wav2vec2-bert": "Wav2Vec2Bert"}


def transformers_model(keys: dict, kind: str, seed: int = 0, **changes):
    """The network of transformers ("ForCTC", "Model" ...) with random weights and statistics, in evaluation mode."""
    import transformers

    keys = {"model_type": "wav2vec2"} | keys | changes
    config = transformers.AutoConfig.for_model(**keys)
    torch.manual_seed(seed)
    model = getattr(transformers, STEMS[keys["model_type"]] + kind)(config)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and not name.endswith("inv_freq"):
                value.add_(0.05 * torch.randn_like(value))
            elif not value.is_floating_point():
                value.add_(3)
    return model.eval()


def inputs_for(keys: dict, *sizes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A padded batch of what the network takes: `noise`, or features of the same number of frames."""
    waveforms, lengths = noise(*sizes)
    if keys.get("model_type") != "wav2vec2-bert":
        return waveforms, lengths
    frames = (lengths - 400) // 320 + 1
    features = torch.randn(len(sizes), int(frames.max()), 160, generator=torch.Generator().manual_seed(0))
    features[torch.arange(features.shape[1]) >= frames.unsqueeze(1)] = 0
    return features, frames


def transformers_negatives(mask: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Distractors as transformers wants them: (batch, frames, distractors) indices of the batch's frames in a row."""
    rows, frames = mask.shape
    found = torch.zeros(rows, frames, negatives.shape[1], dtype=torch.long)
    places = [row * frames + mask[row].nonzero().squeeze(1) for row in range(rows)]
    own = torch.cat([torch.full((len(place),), row) for row, place in enumerate(places)])
    found[mask] = torch.stack([places[row][drawn] for row, drawn in zip(own.tolist(), negatives, strict=True)])
    return found
