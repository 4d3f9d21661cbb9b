"""What every reader of another system's file returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from xlsr.config import Wav2Vec2Config
from xlsr.tokenizer import Tokenizer


@dataclass(frozen=True)
class Foreign:
    """A checkpoint of another system, under Hugging Face's names.

    Attributes:
        format: "fairseq", "torchaudio", "tensorflow", "flax".
        config: the architecture, read from the file.
        weights: Hugging Face name -> tensor, with the model's prefix ("wav2vec2.") and `weight_g`, `weight_v`.
        tokenizer: the vocabulary, where the file or its folder holds one.
        normalizes: whether the model wants waveforms of zero mean and unit variance.
        unused: tensors of the file that have no place in our networks by design, with the reason.
    """

    format: str
    config: Wav2Vec2Config
    weights: dict[str, Tensor]
    tokenizer: Tokenizer | None = None
    normalizes: bool = True
    unused: dict[str, str] = field(default_factory=dict)
