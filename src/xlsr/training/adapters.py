"""Fine-tuning of a small part beside a frozen network: LoRA, or the attention adapters of MMS. The head learns too.

Knows which parameters a kind of adapter has, and what a run leaves behind. Layers and file formats are known to
`model.lora`, `model.transformer`, `checkpoint.lora` and `checkpoint.hf`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import adapter_files, load_adapter, save, save_adapter
from xlsr.checkpoint.lora import LoRASettings, save_lora
from xlsr.errors import TrainingError
from xlsr.model.lora import add_lora, merge_lora
from xlsr.model.transformer import AttentionAdapter, EncoderLayer
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC, initialize
from xlsr.tokenizer import Tokenizer
from xlsr.training.recipe import AdapterRecipe, FinetuneRecipe

_LEARNING = {"lora": ".lora_", "attention": ".adapter_layer."}


@dataclass(frozen=True)
class Adapted:
    """A network that learns by a small part.

    Attributes:
        description: of the network, with the vocabulary that it learns.
        network: with its adapter; `requires_grad` says what learns.
        notes: what was drawn afresh or read, in sentences.
    """

    description: Description
    network: Wav2Vec2ForCTC
    notes: tuple[str, ...] = ()


def adapt(recipe: FinetuneRecipe, description: Description, network: Wav2Vec2ForCTC) -> Adapted:
    """Give a network the adapter of a recipe, in place, and freeze all but the adapter and the head.

    Raises:
        TrainingError: the network has no place for the adapter.
        CheckpointError, TokenizerError: the adapter of the language that is there already cannot be read.
    """
    adapter = recipe.adapter
    if adapter.kind == "none":
        return Adapted(description, network)
    if adapter.kind == "lora":
        names = _chosen(network, adapter.modules)
        add_lora(network, names, rank=adapter.rank, alpha=adapter.alpha, dropout=adapter.dropout)
        note = f"low-rank changes of {len(names)} linear layers are drawn afresh"
    else:
        description, note = _add_attention_adapters(adapter, description, network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad = _LEARNING[adapter.kind] in name or name.startswith("lm_head.")
    return Adapted(description, network, (note,))


def save_adapted(
    recipe: FinetuneRecipe,
    description: Description,
    network: Wav2Vec2ForCTC,
    folder: Path,
    weights: Mapping[str, Tensor],
) -> None:
    """Write a whole model, and beside it the small part that was learnt.

    LoRA is merged into the model; the adapter itself goes into `adapter/`, as peft stores it. A language's adapter
    lies in the model's folder, as MMS has it.
    """
    adapter = recipe.adapter
    if adapter.kind == "lora":
        save(description, network, folder, weights=merge_lora(network, weights))
        settings = LoRASettings(
            adapter.rank, adapter.alpha, adapter.dropout, adapter.modules, base=str(recipe.model.start)
        )
        save_lora(description, network, folder / "adapter", settings, weights)
        return
    save(description, network, folder, weights=weights)
    if adapter.language is not None:
        save_adapter(network, adapter.language, folder, weights=weights)


def _chosen(network: Wav2Vec2ForCTC, modules: tuple[str, ...]) -> list[str]:
    """The linear layers whose names end in one of `modules`, as peft chooses them."""
    layers = [name for name, module in network.wav2vec2.named_modules(prefix="wav2vec2") if type(module) is nn.Linear]
    chosen: list[str] = []
    for wanted in modules:
        found = [name for name in layers if name == wanted or name.endswith(f".{wanted}")]
        if not found:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
            raise TrainingError(
                f"adapter.modules names {wanted!r}, which is no linear layer of the network; known: {known}"
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def _add_attention_adapters(
    adapter: AdapterRecipe, description: Description, network: Wav2Vec2ForCTC
) -> tuple[Description, str]:
    """The language's own adapters where the model has them, else fresh ones; what came out, and which it was."""
    config, language, tokenizer = network.config, adapter.language, description.tokenizer
    assert language is not None
    assert tokenizer is not None
    if config.is_conformer or not config.do_stable_layer_norm:
        raise TrainingError("attention adapters stand in pre-norm wav2vec2 layers, which this model has not; take lora")
    if config.adapter_attn_dim is not None and adapter.dim not in (None, config.adapter_attn_dim):
        raise TrainingError(f"adapter.dim is {adapter.dim}; the model's adapters are {config.adapter_attn_dim} wide")
    width = config.adapter_attn_dim or adapter.dim
    if width is None:
        raise TrainingError("the model has no attention adapters; adapter.dim is wanted for fresh ones, 16 in MMS")
    # A vocabulary that goes by languages is the model's own; a new one does not go with adapters of another.
    if tokenizer.language is not None and description.folder and language in adapter_files(description.folder):
        description = load_adapter(description, network, language)
        assert description.tokenizer is not None
        tokenizer, note = description.tokenizer, f"goes on from adapter.{language} with its head and vocabulary"
    else:
        config = replace(config, adapter_attn_dim=width)
        network.config = network.wav2vec2.config = config
        for layer in network.wav2vec2.encoder.layers:
            assert isinstance(layer, EncoderLayer)
            layer.adapter_layer = AttentionAdapter(config, width)
            initialize(layer.adapter_layer, config)
        description = replace(description, config=config)
        note = f"the adapters of {language} are drawn afresh, {width} wide"
    return replace(description, tokenizer=_of_language(tokenizer, language)), note


def _of_language(tokenizer: Tokenizer, language: str) -> Tokenizer:
    """The same symbols in a vocabulary that goes by languages and has this one."""
    files = replace(
        tokenizer.files,
        vocab={language: dict(tokenizer.vocab)},
        config={**tokenizer.files.config, "target_lang": language},
    )
    return replace(tokenizer, language=language, files=files)
