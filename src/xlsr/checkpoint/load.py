"""Any checkpoint of the family, recognised by its content, as one description and one network.

Hugging Face folders and hub names, fairseq and torchaudio files, TensorFlow modules and `.h5`, Flax msgpack. Readers
of other systems give tensors under Hugging Face's names (`Foreign`); the strict check against the network is the same
for all. Floor 3; needs the extra `torch`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from xlsr.checkpoint.decoder import copy_decoder
from xlsr.checkpoint.fairseq import is_fairseq, read_fairseq
from xlsr.checkpoint.flax import read_flax
from xlsr.checkpoint.folder import (
    FOREIGN_FILES,
    WEIGHT_FILES,
    Description,
    copy_card,
    find_model,
    is_foreign,
    read_description,
)
from xlsr.checkpoint.foreign import Foreign
from xlsr.checkpoint.hf import Network, build, load_adapter, read_weights, save
from xlsr.checkpoint.lora import load_lora
from xlsr.checkpoint.tensorflow import is_saved_model, read_h5, read_saved_model
from xlsr.checkpoint.torchaudio import is_torchaudio, read_torchaudio
from xlsr.config import JsonObject, Wav2Vec2Config, read_json_object
from xlsr.errors import CheckpointError, TokenizerError
from xlsr.model.wav2vec2 import Wav2Vec2ForCTC
from xlsr.tokenizer import Tokenizer

Head = Literal["ctc"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Report:
    """What was read, and what became of it. Missing or left-over tensors are errors and never reported here.

    Attributes:
        format: "huggingface", "fairseq", "torchaudio", "tensorflow" or "flax".
        source: the folder, file or hub name.
        tensors: read from the source.
        parameters: numbers in the network.
        dtypes: of the tensors in the source.
        unused: tensors without a place by design, with the reason.
        created: tensors that the source lacks, drawn afresh because they were asked for.
    """

    format: str
    source: str
    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    unused: dict[str, str]
    created: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.format} checkpoint {self.source}",
            f"{self.tensors} tensors read ({', '.join(self.dtypes)}), {self.parameters:,} parameters; none missing",
        ]
        lines += [f"unused by design: {name}: {reason}" for name, reason in self.unused.items()]
        lines += [f"created afresh, to be trained: {name}" for name in self.created]
        return "\n".join(lines)


@dataclass(frozen=True)
class Checkpoint:
    """A model in memory: what it is, its network in evaluation mode, and how it was read."""

    description: Description
    network: Network
    report: Report


def load_checkpoint(
    source: str | Path,
    *,
    head: Head | None = None,
    vocabulary: Path | str | None = None,
    language: str | None = None,
    config: Path | str | None = None,
    adapter: Path | str | None = None,
) -> Checkpoint:
    """Load a checkpoint of any kind.

    Args:
        source: a Hugging Face folder or hub name; a fairseq `.pt`; a torchaudio `.pth`; a TF-Hub or SavedModel folder;
            `tf_model.h5`; `flax_model.msgpack`.
        head: "ctc" puts a fresh CTC head of the vocabulary's size on an encoder; the report names it.
        vocabulary: a folder with `vocab.json` for that head.
        language: for models of several languages.
        config: a `config.json` for files that do not tell their architecture in full (TensorFlow, Flax).
        adapter: a folder with a LoRA adapter as peft saves it, which is added to the weights of a CTC network.

    Raises:
        CheckpointError: nothing that can be read, or tensors are missing, left over or of another shape.
        ConfigError: the architecture is one that cannot be computed.
    """
    if head not in (None, "ctc") or (vocabulary is not None and head is None):
        raise CheckpointError(
            f"head is {head!r}; a vocabulary is for head='ctc', which puts a fresh head on an encoder"
        )
    path = find_model(source, language=language)
    unused: dict[str, str] = {}
    if is_foreign(path) or not (path / "config.json").is_file():
        foreign = _read_foreign(path, Wav2Vec2Config.from_json(Path(config)) if config else None)
        weights, form, unused = foreign.weights, foreign.format, foreign.unused
        found = _describe(foreign, path)
    else:
        found, weights, form = read_description(path, language=language), read_weights(path), "huggingface"
    created: tuple[str, ...] = ()
    tensors = dict(weights)
    if head == "ctc":
        found, tensors, created = _with_ctc_head(found, tensors, vocabulary)
    network = build(found.config, tensors, source=str(source))
    has_adapters = found.config.adapter_attn_dim is not None and isinstance(network, Wav2Vec2ForCTC)
    if language is not None and has_adapters and not _speaks(path, language):
        assert isinstance(network, Wav2Vec2ForCTC)
        found = load_adapter(found, network, language)
    if adapter is not None:
        if not isinstance(network, Wav2Vec2ForCTC):
            raise CheckpointError(f"{source} has no CTC head; an adapter is added to a network that has one")
        found = load_lora(found, network, Path(adapter))
    report = Report(
        format=form,
        source=str(source),
        tensors=len(weights),
        parameters=sum(p.numel() for p in network.parameters()),
        dtypes=tuple(sorted({str(value.dtype).removeprefix("torch.") for value in weights.values()})),
        unused=unused,
        created=created,
    )
    return Checkpoint(found, network, report)


def import_model(
    source: str | Path,
    out: Path | str,
    *,
    head: Head | None = None,
    vocabulary: Path | str | None = None,
    language: str | None = None,
    config: Path | str | None = None,
    adapter: Path | str | None = None,
) -> Report:
    """Write any checkpoint as a Hugging Face folder that xlsr and transformers load.

    Args:
        source: as for `load_checkpoint`, and so are the options.
        out: the folder to write; an existing model there is refused.

    Raises:
        CheckpointError: as `load_checkpoint`; or `out` holds a model already.
    """
    out = Path(out)
    if (out / "config.json").exists():
        raise CheckpointError(f"{out} holds a model already; name another folder")
    loaded = load_checkpoint(
        source, head=head, vocabulary=vocabulary, language=language, config=config, adapter=adapter
    )
    origin: JsonObject = {"format": loaded.report.format, "name": Path(source).name}
    extras = {"origin": origin} | loaded.description.extras
    save(replace(loaded.description, extras=extras), loaded.network, out)
    folder = loaded.description.folder
    if folder is None or not copy_card(folder, out):
        _write_card(loaded, out)
    if folder is not None:
        copy_decoder(folder, out)
    for file in folder.glob("adapter.*") if folder is not None and language is None else ():
        shutil.copyfile(file, out / file.name)
    return loaded.report


def _speaks(path: Path, language: str) -> bool:
    """Whether the weights of a folder are a language's already: imported for it, without adapter files beside them."""
    if not path.is_dir() or next(path.glob("adapter.*"), None):
        return False
    try:
        return read_description(path).tokenizer_language == language
    except TokenizerError:  # several languages, and none is the folder's own
        return False


def _read_foreign(path: Path, config: Wav2Vec2Config | None) -> Foreign:
    """Find the reader by the content of a file or folder."""
    if path.is_dir():
        readers: dict[str, Callable[[Path, Wav2Vec2Config | None], Foreign]] = {
            "tf_model.h5": read_h5,
            "flax_model.msgpack": read_flax,
        }
        if is_saved_model(path):
            return read_saved_model(path, config)
        for name, reader in readers.items():
            if (path / name).is_file():
                return reader(path / name, config)
        raise CheckpointError(f"{path} holds no checkpoint: looked for {', '.join((*WEIGHT_FILES, *FOREIGN_FILES))}")
    if is_fairseq(path):
        return read_fairseq(path)
    if is_torchaudio(path):
        return read_torchaudio(path)
    with path.open("rb") as file:
        start = file.read(8)
    if start == _HDF5:
        return read_h5(path, config)
    if start[:1] and (0x80 <= start[0] <= 0x8F or start[0] in (0xDE, 0xDF)):  # a msgpack map
        return read_flax(path, config)
    raise CheckpointError(
        f"{path} is no checkpoint that can be read; known: Hugging Face folders, fairseq .pt, torchaudio .pth, "
        "SavedModel folders, tf_model.h5, flax_model.msgpack. Of a folder's model.safetensors name the folder"
    )


def _describe(foreign: Foreign, path: Path) -> Description:
    """The description of another system's file, with the tokenizer that lies in it or beside it."""
    tokenizer = foreign.tokenizer
    folder = path if path.is_dir() else path.parent
    if tokenizer is None and (folder / "vocab.json").is_file():
        tokenizer = Tokenizer.from_folder(folder, pad_token_id=foreign.config.pad_token_id)
    extras = read_json_object(folder / "xlsr.json") if (folder / "xlsr.json").is_file() else {}
    description = Description(foreign.config, tokenizer, extras=extras, folder=folder)
    if "do_normalize" in description.preprocessor:
        description.preprocessor["do_normalize"] = foreign.normalizes
    return description


def _with_ctc_head(
    found: Description, weights: dict[str, Tensor], vocabulary: Path | str | None
) -> tuple[Description, dict[str, Tensor], tuple[str, ...]]:
    """Put a fresh CTC head beside an encoder's tensors."""
    if any(name.startswith("lm_head.") for name in weights):
        raise CheckpointError("the checkpoint has a CTC head; leave --head out to keep it")
    tokenizer = Tokenizer.from_folder(vocabulary) if vocabulary is not None else found.tokenizer
    if tokenizer is None:
        raise CheckpointError("a CTC head needs a vocabulary: name a folder with vocab.json")
    linear = nn.Linear(found.config.output_size, tokenizer.size)
    nn.init.normal_(linear.weight, std=found.config.initializer_range)
    nn.init.zeros_(linear.bias)
    fresh = {"lm_head.weight": linear.weight.detach(), "lm_head.bias": linear.bias.detach()}
    # Without a named class the head that is there decides.
    config = replace(found.config, vocab_size=tokenizer.size, pad_token_id=tokenizer.blank_id, architectures=())
    return replace(found, config=config, tokenizer=tokenizer), weights | fresh, tuple(fresh)


def _write_card(loaded: Checkpoint, out: Path) -> None:
    """Write a card that says where the weights are from."""
    report = loaded.report
    out.joinpath("README.md").write_text(
        f"# {Path(report.source).name}\n\nImported by xlsr from a {report.format} checkpoint: "
        f"{report.parameters:,} parameters. The licence is that of the source, which the file does not name: "
        "look it up there before you share this folder.\n",
        "utf-8",
    )
