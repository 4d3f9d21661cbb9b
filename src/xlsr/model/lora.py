"""Low-rank changes of linear layers, which learn while the layers themselves stay as they are.

Knows the arithmetic and the names `lora_A` and `lora_B`, which are peft's. Which layers get one, the caller says; how
they are stored, `checkpoint.lora` knows.

Source: LoRA, arXiv 2106.09685, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from xlsr.model.dropout import Dropout


class LoRALinear(nn.Linear):
    """W x + b + (alpha / rank) B A dropout(x).

    B starts at zero, so that the layer starts as the one that it replaces, whose tensors keep their names.
    """

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float, dropout: float) -> None:
        super().__init__(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.scale = alpha / rank
        self.lora_dropout = Dropout(dropout)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        change: Tensor = self.lora_B(self.lora_A(self.lora_dropout(x)))
        return super().forward(x) + self.scale * change


def add_lora(model: nn.Module, names: Iterable[str], *, rank: int, alpha: float, dropout: float) -> None:
    """Put a `LoRALinear` in the place of each named linear layer."""
    for name in names:
        owner, _, leaf = name.rpartition(".")
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        setattr(model.get_submodule(owner), leaf, LoRALinear(base, rank=rank, alpha=alpha, dropout=dropout))


def merge_lora(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the same function without low-rank changes.

    Args:
        model: says where the changes are, and their scale.
        weights: by the names of the model's state dict.
    """
    merged = {name: value for name, value in weights.items() if ".lora_" not in name}
    for name, layer in model.named_modules():
        if isinstance(layer, LoRALinear):
            change = weights[f"{name}.lora_B.weight"] @ weights[f"{name}.lora_A.weight"]
            merged[f"{name}.weight"] = weights[f"{name}.weight"] + layer.scale * change
    return merged


def restore_lora(model: nn.Module, merged: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a model with low-rank changes that compute what merged weights do: its changes are zero.

    Args:
        model: says where the changes are.
        merged: as `merge_lora` gives them.
    """
    return {
        name: torch.zeros(value.shape) if ".lora_" in name else merged[name]
        for name, value in model.state_dict().items()
    }
