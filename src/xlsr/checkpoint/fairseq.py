"""Files of fairseq (`.pt`): pre-trained and fine-tuned wav2vec 2.0, XLSR, XLS-R and MMS.

A file holds `model`, the tensors, beside the options of its making (`fairseq_options`), and often an optimizer's state
that is three times as large and never read here. The symbols of a fine-tuned one lie in the file (newer fairseq) or in
a dictionary beside it, `dict.ltr.txt`. fairseq's first four symbols are `<s> <pad> </s> <unk>` and its CTC blank is
`<s>`, id 0; Hugging Face calls id 0 `<pad>` and id 1 `<s>`, and no row of the head moves.

Floor 3. Needs the extra `torch`; fairseq and omegaconf are not needed, and nothing in a file is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xlsr.checkpoint.fairseq_options import config_of, read_options
from xlsr.checkpoint.foreign import Foreign
from xlsr.checkpoint.keymap import FAIRSEQ, FAIRSEQ_CONFORMER, FAIRSEQ_GROUP, KeyMap, spelt
from xlsr.checkpoint.pickles import Record
from xlsr.checkpoint.torchfiles import LazyTensor, is_torch_file, read_torch
from xlsr.errors import CheckpointError
from xlsr.tokenizer import WORD_DELIMITER, Tokenizer

_ENCODER = "w2v_encoder.w2v_model."
_HEAD = "w2v_encoder.proj.weight"
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_RENAMED = ("<pad>", "<s>", "</s>", "<unk>")
_OVERWRITE = "#fairseq:overwrite"
# Anchored patterns of tensors that no network of ours has -> why they may be left.
_UNUSED = {
    r"_ema(\..*)?": "moving average of training",
    r"target_glu\..*": "gate of pre-training targets, which Hugging Face's network has not",
    r"target_proj\..*": "projection of pre-training targets, which Hugging Face's network has not",
    r"encoder\.layers\.[0-9]+\.self_attn\.rotary_emb\.inv_freq": "table that is computed again",
}


@dataclass(frozen=True)
class _Symbols:
    """A dictionary: its symbols by id, and where it was found."""

    names: list[str]
    source: str


def is_fairseq(path: Path) -> bool:
    """Whether a file is a checkpoint of fairseq, by its content; tensors are not read.

    Raises:
        CheckpointError: it is a file of torch.save, but damaged or refused; nobody else could read it either.
    """
    return is_torch_file(path) and _is_state(read_torch(path))


def read_fairseq(path: Path) -> Foreign:
    """Read a checkpoint of fairseq.

    Args:
        path: the `.pt` file. A dictionary beside it (`dict.ltr.txt`, `dict.phn.txt`) gives the symbols of a
            fine-tuned model that does not hold them.

    Raises:
        CheckpointError: the file is damaged, refused, no such checkpoint, or has tensors without a name of ours.
        ConfigError: the architecture is one that cannot be computed.
    """
    state = read_torch(path)
    if not _is_state(state):
        raise CheckpointError(f"{path} is no checkpoint of fairseq: model with args or cfg is wanted in it")
    assert isinstance(state, dict)
    lazy = _tensors(state["model"], str(path))
    is_finetuned = any(name.startswith("w2v_encoder.") for name in lazy)
    options = read_options(state, str(path), is_finetuned=is_finetuned)
    names = {spelt(name.removeprefix(_ENCODER)): name for name in lazy}
    unused = {name: why for short, name in names.items() if (why := _unused(short))}
    table = FAIRSEQ_CONFORMER if options.is_conformer else FAIRSEQ_GROUP if options.norm == "group" else FAIRSEQ
    found = _align(table, {short: name for short, name in names.items() if name not in unused}, str(path))
    vocab_size = lazy[_HEAD].shape[0] if _HEAD in lazy and lazy[_HEAD].shape else None
    adapter = next((lazy[name] for short, name in names.items() if short.endswith("adapter_layer.W_a")), None)
    adapter_dim = adapter.shape[1] if adapter is not None and len(adapter.shape) == 3 else None
    config = config_of(options, vocab_size=vocab_size, adapter_dim=adapter_dim)
    symbols = None if vocab_size is None else _find_symbols(state, path, options.labels)
    tokenizer = None
    if symbols is not None:
        if len(symbols.names) != vocab_size:
            raise CheckpointError(
                f"{symbols.source} has {len(symbols.names)} symbols with fairseq's four, but the head of {path} has "
                f"{vocab_size} rows: it belongs to another model; put the right dictionary in its place, or none"
            )
        tokenizer = _tokenizer(symbols.names, is_phones=options.labels == "phn")
    weights = {ours: _value(lazy[theirs], theirs) for ours, theirs in found.items()}
    _complete(weights, config.conv_dim[-1], config.hidden_size)
    return Foreign("fairseq", config, weights, tokenizer, options.normalizes, unused)


def _is_state(state: object) -> bool:
    return (
        isinstance(state, dict)
        and isinstance(state.get("model"), dict)
        and any(state.get(container) is not None for container in ("args", "cfg"))
    )


def _tensors(model: object, source: str) -> dict[str, LazyTensor]:
    """The tensors by fairseq's names."""
    assert isinstance(model, dict)
    found: dict[str, LazyTensor] = {}
    for name, value in model.items():
        if not isinstance(name, str) or not (isinstance(value, LazyTensor) or _unused(str(name))):
            raise CheckpointError(f"{source}: its model holds {str(name)[:100]!r}, which is no tensor")
        if isinstance(value, LazyTensor):
            found[name] = value
    return found


def _unused(name: str) -> str | None:
    """Why a tensor may be left, or None."""
    return next((why for pattern, why in _UNUSED.items() if re.fullmatch(pattern, name)), None)


def _align(table: KeyMap, names: dict[str, str], source: str) -> dict[str, str]:
    """Hugging Face's name -> the name in the file, of every tensor."""
    aligned = table.align(names)
    if aligned.unknown:
        some = ", ".join(repr(name[:100]) for name in aligned.unknown[:8])
        raise CheckpointError(
            f"{source} holds {len(aligned.unknown)} tensors that a wav2vec 2.0 network has not: {some}; "
            "it is another architecture of fairseq"
        )
    return {ours: names[short] for ours, short in aligned.names.items()}


def _value(tensor: LazyTensor, name: str) -> Tensor:
    """A tensor, an adapter's without its leading axis."""
    if ".adapter_layer." not in name:
        return tensor.load()
    if not tensor.shape or tensor.shape[0] != 1:
        raise CheckpointError(f"{name} has the shape {tensor.shape}: one adapter a layer is wanted, not several")
    return tensor.load()[0]


def _complete(weights: dict[str, Tensor], features: int, hidden: int) -> None:
    """Give equal sizes the projection that fairseq leaves out there: the identity, exactly."""
    name = "wav2vec2.feature_projection.projection"
    if features == hidden and f"{name}.weight" not in weights:
        weights |= {f"{name}.weight": torch.eye(hidden), f"{name}.bias": torch.zeros(hidden)}


def _find_symbols(state: dict[object, object], path: Path, labels: str | None) -> _Symbols | None:
    """The dictionary in the file, else the one beside it."""
    task = state.get("task_state")
    held = task.get("target_dictionary") if isinstance(task, dict) else None
    if isinstance(held, Record) and isinstance(held.state, dict) and isinstance(held.state.get("symbols"), list):
        names = held.state["symbols"]
        if not all(isinstance(name, str) for name in names):
            raise CheckpointError(f"{path}: its dictionary holds a symbol that is no text")
        return _Symbols(names, f"the dictionary in {path}")
    stems = [labels] if labels and re.fullmatch(r"\w{1,20}", labels) else []
    for name in [*(f"dict.{stem}.txt" for stem in stems), "dict.ltr.txt", "dict.phn.txt"]:
        if (path.parent / name).is_file():
            return _Symbols(read_dictionary(path.parent / name), str(path.parent / name))
    return None


def read_dictionary(path: Path) -> list[str]:
    """Read the symbols of a fairseq dictionary by their ids, the four implicit ones first.

    Args:
        path: a text file of lines `SYMBOL COUNT`, or `SYMBOL COUNT #fairseq:overwrite` for a symbol that stands again.

    Raises:
        CheckpointError: a line is none such, or a symbol stands twice.
    """
    try:
        lines = path.read_text("utf-8").split("\n")  # splitlines would also split at symbols such as U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if lines[-1] == "":
        lines.pop()
    symbols = list(_SPECIALS)
    taken = set(symbols)
    for number, line in enumerate(lines, 1):
        line = line.rstrip()
        overwrites = line.endswith(f" {_OVERWRITE}")
        symbol, space, count = line.removesuffix(f" {_OVERWRITE}").rpartition(" ")
        if not space or not re.fullmatch(r"[0-9]+", count):
            raise CheckpointError(f"{path}, line {number}, is {line[:60]!r}; a symbol and its count are wanted")
        if symbol in taken and not overwrites:
            raise CheckpointError(f"{path}, line {number}: {symbol!r} stands twice, without {_OVERWRITE}")
        symbols.append(symbol)
        taken.add(symbol)
    return symbols


def _tokenizer(symbols: list[str], *, is_phones: bool) -> Tokenizer:
    """Hugging Face's tokenizer: ids 0 and 1 exchange names. A symbol that stands again leaves its first id unnamed."""
    if tuple(symbols[:4]) != _SPECIALS:
        raise CheckpointError(f"the dictionary begins with {symbols[:4]}; {list(_SPECIALS)} is wanted")
    names = list(_RENAMED)
    taken = {name: id for id, name in enumerate(names)}
    for id, symbol in enumerate(symbols[4:], 4):
        first = taken.get(symbol)
        if first == 0:  # the blank keeps its name
            symbol = f"{symbol}:{id}"
        elif first is not None:
            names[first] = f"{symbol}:{first}"
        names.append(symbol)
        taken[symbol] = id
    spoken = [name for name in names[4:] if not name.startswith("madeupword")]
    are_long = any(len(name) > 1 and not name.startswith("<") for name in spoken)
    return Tokenizer.from_symbols(names, is_phones=is_phones or (are_long and WORD_DELIMITER not in names))
