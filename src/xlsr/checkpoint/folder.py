"""A model folder without its weights: what the model is, and how its input and output are to be read.

Floor 3, NumPy half: an exported model is described and used without torch. The files are Hugging Face's:
`config.json`, `preprocessor_config.json`, the tokenizer's; our own additions stand in `xlsr.json` alone.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from xlsr.checkpoint.hub import fetch, is_hub_name
from xlsr.config import Json, JsonObject, Wav2Vec2Config, read_json_object
from xlsr.errors import CheckpointError, ConfigError
from xlsr.tokenizer import Tokenizer

DEFAULT_MODEL = Path(__file__).parent.parent / "assets" / "default"

DEFAULT_PREPROCESSOR: JsonObject = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16000,
}


# wav2vec2-bert's front end is one, computed by `xlsr.features`; another is refused by these keys.
FEATURE_PREPROCESSOR: JsonObject = {
    "feature_extractor_type": "SeamlessM4TFeatureExtractor",
    "feature_size": 80,
    "num_mel_bins": 80,
    "padding_side": "right",
    "padding_value": 1,
    "return_attention_mask": True,
    "sampling_rate": 16000,
    "stride": 2,
}


@dataclass(frozen=True)
class Description:
    """A model without its weights.

    Attributes:
        config: the architecture.
        tokenizer: None for a model without a vocabulary (a pre-trained encoder).
        preprocessor: the keys of `preprocessor_config.json`; default: those of the architecture's family.
        extras: the keys of `xlsr.json`.
        folder: where it was read; None for a model that has not been saved.
    """

    config: Wav2Vec2Config
    tokenizer: Tokenizer | None = None
    preprocessor: JsonObject = field(default_factory=dict)
    extras: JsonObject = field(default_factory=dict)
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.preprocessor:
            default = FEATURE_PREPROCESSOR if self.config.is_bert else DEFAULT_PREPROCESSOR
            object.__setattr__(self, "preprocessor", dict(default))

    @property
    def normalizes(self) -> bool:
        """Whether waveforms are brought to zero mean and unit variance first."""
        return bool(self.preprocessor.get("do_normalize", True))

    @property
    def tokenizer_language(self) -> str | None:
        """The language of a vocabulary in several, else None."""
        return self.tokenizer.language if self.tokenizer else None

    @property
    def name(self) -> str:
        """What messages call the model."""
        if isinstance(named := self.extras.get("name"), str):
            return named
        return str(self.folder) if self.folder else "unsaved model"


def find_model(model: str | Path, *, language: str | None = None) -> Path:
    """Return where a model lies: the shipped one for "default", a folder or file, or a name on the hub.

    Raises:
        CheckpointError: there is no such folder, file or name.
    """
    folder = DEFAULT_MODEL if str(model) == "default" else Path(model).expanduser()
    if not folder.exists() and is_hub_name(str(model)):
        folder = fetch(str(model), language=language)
    if not folder.exists():
        raise CheckpointError(
            f"model {model} is not there: it is no folder or file, no hub name (owner/name), and not default"
        )
    return folder


WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
FOREIGN_FILES = ("variables/variables.index", "tf_model.h5", "flax_model.msgpack")


def is_foreign(source: Path) -> bool:
    """Whether the weights are another system's: a file, or a folder with such files and none of Hugging Face's."""
    if source.is_file():
        return True
    has = {names: any((source / name).is_file() for name in names) for names in (WEIGHT_FILES, FOREIGN_FILES)}
    return has[FOREIGN_FILES] and not has[WEIGHT_FILES]


def read_description(folder: Path, *, language: str | None = None) -> Description:
    """Read everything of a model folder but its weights.

    Raises:
        CheckpointError: there is no config.json.
        ConfigError, TokenizerError: a file is damaged, contradicts itself or asks for what is not supported.
    """
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json; a model folder as transformers saves it is wanted")
    config = Wav2Vec2Config.from_json(folder / "config.json")
    preprocessor = _read_preprocessor(folder)
    if config.is_bert:
        _check_front_end(preprocessor, folder)
    if (rate := preprocessor.get("sampling_rate", 16000)) != 16000:
        raise ConfigError(f"{folder}: sampling_rate is {rate}; models of 16000 Hz are supported")
    extras = read_json_object(folder / "xlsr.json") if (folder / "xlsr.json").is_file() else {}
    tokenizer = None
    if (folder / "vocab.json").is_file():
        tokenizer = Tokenizer.from_folder(folder, language=language, pad_token_id=config.pad_token_id)
    return Description(config, tokenizer, preprocessor, extras, folder)


def _read_preprocessor(folder: Path) -> JsonObject:
    """The keys of `preprocessor_config.json`, which transformers 5 may keep in `processor_config.json` instead."""
    if (folder / "preprocessor_config.json").is_file():
        return read_json_object(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        inner = read_json_object(folder / "processor_config.json").get("feature_extractor")
        return inner if isinstance(inner, dict) else {}
    return {}


def _check_front_end(preprocessor: JsonObject, folder: Path) -> None:
    """Raise ConfigError where wav2vec2-bert wants other features than `xlsr.features` makes."""
    for key in ("feature_extractor_type", "num_mel_bins", "stride"):
        if (value := preprocessor.get(key, FEATURE_PREPROCESSOR[key])) != FEATURE_PREPROCESSOR[key]:
            raise ConfigError(f"{folder}: {key} is {value!r}; {FEATURE_PREPROCESSOR[key]!r} is supported")


def copy_card(source: Path, out: Path) -> bool:
    """Copy a model's card and licence files, which go on with its weights; whether there was a card."""
    for file in (source / "README.md", *source.glob("LICENSE*")):
        if file.is_file() and not (out / file.name).exists():
            shutil.copyfile(file, out / file.name)
    return (source / "README.md").is_file()


def license_of(description: Description) -> str | None:
    """The licence that `xlsr.json` names, else the one in the head of the model card."""
    if isinstance(named := description.extras.get("license"), str):
        return named
    card = description.folder / "README.md" if description.folder else None
    if card is None or not card.is_file():
        return None
    found = re.match(r"---\n(?:.*\n)*?license:[ \t]*(\S+)", card.read_text("utf-8", errors="replace")[:10_000])
    return found[1] if found else None


def write_description(description: Description, folder: Path) -> None:
    """Write everything of a model folder but its weights, for transformers 4 and 5."""
    folder.mkdir(parents=True, exist_ok=True)
    description.config.to_json(folder / "config.json")
    _write_json(folder / "preprocessor_config.json", description.preprocessor)
    if description.tokenizer is not None:
        description.tokenizer.to_folder(folder)
        name = "Wav2Vec2BertProcessor" if description.config.is_bert else "Wav2Vec2Processor"
        _write_json(folder / "processor_config.json", {"processor_class": name})
    if description.extras:
        _write_json(folder / "xlsr.json", description.extras)


def update_extras(folder: Path, changes: JsonObject) -> None:
    """Set keys of a folder's `xlsr.json` and keep the others; the file is new as a whole, or as it was."""
    path, partial = folder / "xlsr.json", folder / ".xlsr.json.part"
    try:
        _write_json(partial, (read_json_object(path) if path.is_file() else {}) | changes)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_json(path: Path, values: Json) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
