"""What a model folder is, in a few lines, without loading its weights or torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from xlsr.checkpoint.folder import find_model, read_description
from xlsr.config import Json, Wav2Vec2Config


@dataclass(frozen=True)
class ModelInfo:
    """A model folder described.

    Attributes:
        name: of the model.
        folder: where it lies.
        architecture: "wav2vec2: 12 layers of 768, 12 heads, post-norm, group-norm features".
        parameters: their number; None where the weights are no safetensors file.
        vocabulary: its symbols in the order of their ids; empty for an encoder.
        languages: of a vocabulary in several languages.
        graphs: exported graphs that lie beside the weights.
        license: of the model, where it says so.
        summary: what the model says of itself.
        figures: what was measured of it.
        problems: what keeps it from being used.
    """

    name: str
    folder: str
    architecture: str
    parameters: int | None
    vocabulary: tuple[str, ...]
    languages: tuple[str, ...]
    graphs: tuple[str, ...]
    license: str | None
    summary: str | None
    figures: dict[str, Json]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        shown = {
            "model": self.name,
            "folder": self.folder,
            "about": self.summary,
            "architecture": self.architecture,
            "parameters": f"{self.parameters:,}" if self.parameters is not None else None,
            "vocabulary": f"{len(self.vocabulary)} symbols: {' '.join(self.vocabulary[:40])}"
            if self.vocabulary
            else None,
            "languages": " ".join(self.languages) or None,
            "graphs": ", ".join(self.graphs) or None,
            "licence": self.license,
            "figures": ", ".join(f"{key} {value}" for key, value in self.figures.items()) or None,
            "problems": "; ".join(self.problems) or "none",
        }
        return "\n".join(f"{key:<13}{value}" for key, value in shown.items() if value is not None)


def info(model: str | Path = "default") -> ModelInfo:
    """Describe a model folder.

    Raises:
        CheckpointError, ConfigError, TokenizerError: there is no model, or its description cannot be read.
    """
    folder = find_model(model)
    description = read_description(folder)
    config, tokenizer, extras = description.config, description.tokenizer, description.extras
    parameters, problems = _count_parameters(folder)
    if tokenizer is None:
        problems.append("no vocabulary: an encoder, to be fine-tuned before it can transcribe")
    figures = extras.get("figures")
    return ModelInfo(
        name=description.name,
        folder=str(folder),
        architecture=_architecture(config),
        parameters=parameters,
        vocabulary=tuple(sorted(tokenizer.vocab, key=lambda symbol: tokenizer.vocab[symbol])) if tokenizer else (),
        languages=tokenizer.languages if tokenizer else (),
        graphs=tuple(name for name in ("openvino/model.xml", "model.onnx") if (folder / name).is_file()),
        license=str(extras["license"]) if "license" in extras else None,
        summary=str(extras["summary"]) if "summary" in extras else None,
        figures=figures if isinstance(figures, dict) else {},
        problems=tuple(problems),
    )


def _architecture(config: Wav2Vec2Config) -> str:
    """What the layers are and what they take, in one line."""
    layers = "pre-norm" if config.do_stable_layer_norm else "post-norm"
    if config.is_conformer:
        layers = f"conformers, {config.position_embeddings_type or 'no'} positions"
    features = "log-mel features" if config.is_bert else f"{config.feat_extract_norm}-norm features"
    adapters = f", attention adapters of {config.adapter_attn_dim}" if config.adapter_attn_dim else ""
    return (
        f"{config.model_type}: {config.num_hidden_layers} layers of {config.hidden_size}, "
        f"{config.num_attention_heads} heads, {layers}, {features}{adapters}"
    )


def _count_parameters(folder: Path) -> tuple[int | None, list[str]]:
    """Numbers in the folder's safetensors files, from their headers, and what is wrong with them."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        legacy = any(folder.glob("pytorch_model*.bin"))
        return None, [] if legacy else ["no weights (model.safetensors or pytorch_model.bin)"]
    total = 0
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            return None, [f"{file.name} cannot be read: {error}"]
    return total, []
