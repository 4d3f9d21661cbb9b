"""What a model is, in a few lines."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from xlsr.checkpoint.decoder import read_decoder
from xlsr.checkpoint.folder import Description, find_model, is_foreign, license_of, read_description
from xlsr.config import Json, Wav2Vec2Config
from xlsr.decoding.options import BeamOptions
from xlsr.errors import CheckpointError, XlsrError, require


@dataclass(frozen=True)
class ModelInfo:
    """A model folder described.

    Attributes:
        name: of the model.
        folder: where it lies.
        architecture: "wav2vec2: 12 layers of 768, 12 heads, post-norm, group-norm features".
        parameters: their number; None where the weights are no safetensors file.
        weights: what was read, and that it fits; None where nothing was held against the network.
        vocabulary: its symbols in the order of their ids; empty for an encoder.
        languages: of a vocabulary in several languages.
        graphs: exported graphs that lie beside the weights.
        decoder: the search that it brings.
        license: of the model, where it says so.
        summary: what the model says of itself.
        figures: what was measured of it.
        problems: what keeps it from being used.
    """

    name: str
    folder: str
    architecture: str
    parameters: int | None
    weights: str | None
    vocabulary: tuple[str, ...]
    languages: tuple[str, ...]
    graphs: tuple[str, ...]
    decoder: str | None
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
            "weights": self.weights,
            "vocabulary": f"{len(self.vocabulary)} symbols: {' '.join(self.vocabulary[:40])}"
            if self.vocabulary
            else None,
            "languages": " ".join(self.languages) or None,
            "graphs": ", ".join(self.graphs) or None,
            "decoder": self.decoder,
            "licence": self.license,
            "figures": ", ".join(f"{key} {value}" for key, value in self.figures.items()) or None,
            "problems": "; ".join(self.problems) or "none",
        }
        return "\n".join(f"{key:<13}{value}" for key, value in shown.items() if value is not None)


def info(model: str | Path = "default") -> ModelInfo:
    """Describe a model: a folder without torch, the file of another system with it.

    Where torch is installed, every tensor is held against the network; what does not fit is among the problems.

    Raises:
        CheckpointError, ConfigError, TokenizerError: there is no model, or its description cannot be read.
        MissingDependencyError: the file of another system, and torch is not installed.
    """
    source = find_model(model)
    if (source / "config.json").is_file() and not is_foreign(source):
        description = read_description(source)
        parameters, problems = _count_parameters(source)
        weights = None
        if not problems and importlib.util.find_spec("torch"):
            try:
                weights = _check(source)[1]
            except CheckpointError as error:
                problems.append(str(error))
    else:
        require("torch", "torch", f"reading {source}")
        (description, parameters), weights = _check(source)
        problems = []
    return _model_info(description, source, parameters, weights, problems)


def _check(source: Path) -> tuple[tuple[Description, int], str]:
    """Load a checkpoint for what it tells of itself."""
    from xlsr.checkpoint.load import load_checkpoint

    loaded = load_checkpoint(source)
    report = loaded.report
    unused = f"; unused by design: {', '.join(report.unused)}" if report.unused else ""
    found = f"{report.tensors} {report.format} tensors ({', '.join(report.dtypes)}), each in its place{unused}"
    return (loaded.description, report.parameters), found


def _model_info(
    description: Description, source: Path, parameters: int | None, weights: str | None, problems: list[str]
) -> ModelInfo:
    config, tokenizer, extras = description.config, description.tokenizer, description.extras
    if tokenizer is None:
        problems = [*problems, "no vocabulary: an encoder, to be fine-tuned before it can transcribe"]
    try:
        options = read_decoder(description)
    except XlsrError as error:
        options, problems = None, [*problems, str(error)]
    figures = extras.get("figures")
    return ModelInfo(
        name=description.name if description.folder else source.name,
        folder=str(source),
        architecture=_architecture(config),
        parameters=parameters,
        weights=weights,
        vocabulary=tuple(sorted(tokenizer.vocab, key=lambda symbol: tokenizer.vocab[symbol])) if tokenizer else (),
        languages=tokenizer.languages if tokenizer else (),
        graphs=tuple(name for name in ("openvino/model.xml", "model.onnx") if (source / name).is_file()),
        decoder=None if options is None else _search(options),
        license=license_of(description),
        summary=str(extras["summary"]) if "summary" in extras else None,
        figures=figures if isinstance(figures, dict) else {},
        problems=tuple(problems),
    )


def _search(options: BeamOptions) -> str:
    """What a beam search listens for, in one line."""
    words = " and a lexicon" if options.lexicon is not None else ""
    lm = f"a language model of weight {options.lm_weight:g}" if options.lm is not None else "no language model"
    return f"beam search of {options.beam_size} with {lm}{words}"


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
