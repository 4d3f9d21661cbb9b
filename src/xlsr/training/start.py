"""Where fine-tuning starts: random weights, an encoder that gets a head, or a model that is fine-tuned already.

Decides which vocabulary is learnt and which tensors are kept, and says so: nothing but what `Start.notes` names is
drawn afresh. Knows no batch and no loss (`ctc`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.load import Checkpoint, load_checkpoint
from xlsr.config import Json, JsonObject, Wav2Vec2Config
from xlsr.data.manifest import Utterance
from xlsr.data.vocabulary import Case, build_vocabulary, case_of, target_of
from xlsr.errors import TrainingError
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC, Wav2Vec2Model, initialize
from xlsr.tokenizer import Tokenizer
from xlsr.training.recipe import FinetuneRecipe

_ENCODER, _HEAD = "wav2vec2.", "lm_head."
# Keys of xlsr.json that are of the model that a run starts from, not of what becomes of it.
OWN = ("name", "summary", "figures", "calibration", "decoder")


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Attributes:
        description: of the model to be, with its vocabulary.
        network: its weights.
        case: of texts before they become labels.
        notes: what was kept, left aside and drawn afresh, in sentences.
    """

    description: Description
    network: Wav2Vec2ForCTC
    case: Case
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Vocabulary:
    """Symbols to learn; `is_own`: they are the start's, whose head knows them."""

    tokenizer: Tokenizer
    case: Case
    is_own: bool = False


def begin(recipe: FinetuneRecipe, train: Sequence[Utterance]) -> Start:
    """Make the model that a recipe starts from; what is random is drawn with the run's seed.

    Args:
        recipe: of the run.
        train: the training utterances, of whose texts a new vocabulary is made.

    Raises:
        TrainingError: the start, the vocabulary and the targets do not go together.
        CheckpointError, ConfigError, TokenizerError: as `load_checkpoint`.
    """
    torch.manual_seed(recipe.run.seed)
    if recipe.model.start is not None:
        return _from_checkpoint(recipe, train, load_checkpoint(recipe.model.start))
    chosen = _choose(recipe, train, None)
    settled: JsonObject = {"architectures": ["Wav2Vec2ForCTC"], **_head_keys(chosen.tokenizer)}
    config = Wav2Vec2Config.from_dict(recipe.model.architecture | settled, name="model.architecture")
    notes = ("every weight is drawn afresh", *_on_case(recipe, chosen.case))
    return Start(Description(config, chosen.tokenizer), Wav2Vec2ForCTC(config), chosen.case, notes)


def _from_checkpoint(recipe: FinetuneRecipe, train: Sequence[Utterance], checkpoint: Checkpoint) -> Start:
    """The encoder of a checkpoint, and its head where the vocabulary stays."""
    description, network = checkpoint.description, checkpoint.network
    chosen = _choose(recipe, train, checkpoint)
    config = Wav2Vec2Config.from_dict(
        changed_keys(description.config, recipe.model.architecture), name="model.architecture"
    )
    if not chosen.is_own:
        config = replace(config, **_head_keys(chosen.tokenizer))  # type: ignore[arg-type]
    prefix = _ENCODER if isinstance(network, Wav2Vec2Model) else ""
    found = {prefix + name: value for name, value in network.state_dict().items()}
    kept = {n: v for n, v in found.items() if n.startswith(_ENCODER) or (chosen.is_own and n.startswith(_HEAD))}
    fresh = _fresh(config, kept)
    with torch.device("meta"):
        model = Wav2Vec2ForCTC(config)
    model.load_state_dict(kept | fresh, assign=True)
    own = OWN if chosen.is_own else (*OWN, "language")
    extras = {key: value for key, value in description.extras.items() if key not in own}
    extras["start"] = bare_name(str(recipe.model.start))
    left = (*(found.keys() - kept.keys()), *checkpoint.report.unused)
    notes = [
        f"starts from {recipe.model.start}: {len(kept)} tensors kept",
        f"left aside of it: {_parts(left)}" if left else "",
        f"drawn afresh: {_parts(fresh)}" if fresh else "",
        *_on_case(recipe, chosen.case),
    ]
    description = replace(description, config=config, tokenizer=chosen.tokenizer, extras=extras)
    return Start(description, model, chosen.case, tuple(filter(None, notes)))


def _choose(recipe: FinetuneRecipe, train: Sequence[Utterance], checkpoint: Checkpoint | None) -> _Vocabulary:
    """The vocabulary to learn: the recipe's, else the start's, else one of the training utterances."""
    data = recipe.data
    own = None
    if checkpoint is not None and isinstance(checkpoint.network, Wav2Vec2ForCTC) and not recipe.model.new_head:
        own = checkpoint.description.tokenizer
        if own is None and data.vocabulary is None:
            raise TrainingError(
                f"{recipe.model.start} has a head but no vocab.json, which names its classes: put it beside the "
                "weights, or have a fresh head: model.new_head = true"
            )
    tokenizer = own
    if data.vocabulary is not None:
        tokenizer = Tokenizer.from_folder(data.vocabulary, are_phones=data.targets == "phones")
    if tokenizer is None:
        case: Case = "lower" if data.case == "auto" else data.case
        texts = (
            target_of(utterance, data.targets, case, drop_punctuation=data.drop_punctuation) for utterance in train
        )
        return _Vocabulary(build_vocabulary(texts, targets=data.targets, min_count=data.min_count), case)
    if tokenizer.is_phones != (data.targets == "phones"):
        raise TrainingError(
            f"data.targets is {data.targets}, but {data.vocabulary or recipe.model.start} has a vocabulary of "
            f"{'phones' if tokenizer.is_phones else 'letters'}; name another data.vocabulary, or have one made of the "
            "training utterances: model.new_head = true"
        )
    is_own = own is not None and (tokenizer.vocab, tokenizer.blank_id) == (own.vocab, own.blank_id)
    case = case_of(tokenizer) if data.case == "auto" else data.case
    return _Vocabulary(own if own and is_own else tokenizer, case, is_own)


def bare_name(model: str) -> str:
    """A hub name as it is, of a folder or file its own name: where it lay is nobody's business."""
    return Path(model).name if Path(model).is_absolute() else model


def _head_keys(tokenizer: Tokenizer) -> dict[str, Json]:
    """What config.json says of a head for a vocabulary."""
    return {
        "vocab_size": tokenizer.size,
        "pad_token_id": tokenizer.blank_id,
        "bos_token_id": tokenizer.vocab.get("<s>"),
        "eos_token_id": tokenizer.vocab.get("</s>"),
    }


def _fresh(config: Wav2Vec2Config, kept: dict[str, Tensor]) -> dict[str, Tensor]:
    """Draw what a CTC model needs and a checkpoint may lack: the head, and an embedding for masked frames."""
    fresh: dict[str, Tensor] = {}
    if f"{_HEAD}weight" not in kept:
        assert config.vocab_size is not None
        head = nn.Linear(config.output_size, config.vocab_size)
        initialize(head, config)
        fresh |= {_HEAD + name: value for name, value in head.state_dict().items()}
    if f"{_ENCODER}masked_spec_embed" not in kept:
        fresh[f"{_ENCODER}masked_spec_embed"] = torch.rand(config.hidden_size)
    return fresh


def _parts(names: Iterable[str]) -> str:
    """Tensors by the parts of a network that they belong to."""
    return ", ".join(sorted({name.removeprefix(_ENCODER).partition(".")[0] for name in names}))


def _on_case(recipe: FinetuneRecipe, case: Case) -> tuple[str, ...]:
    """Say what happens to the case of texts, where the recipe leaves it to the vocabulary."""
    if recipe.data.case != "auto" or case != "upper":
        return ()
    return ("texts are put into capitals, as the vocabulary has no other letters",)


# Keys that change training, or what is drawn afresh, but not the function that the weights compute.
_FREE_KEYS = re.compile(r"(mask_.*|.*_dropout|layerdrop|apply_spec_augment|initializer_range)")


def changed_keys(config: Wav2Vec2Config, changes: JsonObject, *also: re.Pattern[str]) -> JsonObject:
    """The keys of config.json of a model to start from, with other dropouts or masks, or what `also` allows.

    Raises:
        TrainingError: a change would be to the architecture, which the weights settle.
    """
    settled = config.to_dict()
    for key, value in changes.items():
        is_free = any(pattern.fullmatch(key) for pattern in (_FREE_KEYS, *also))
        if not is_free and settled.get(key) != value:
            raise TrainingError(f"model.start settles the architecture; model.architecture.{key} cannot change it")
    return settled | changes
