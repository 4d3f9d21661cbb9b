"""A model folder without its weights: what the model is, and how its input and output are to be read.

Floor 3, NumPy half: an exported model is described and used without torch. The files are Hugging Face's:
`config.json`, `preprocessor_config.json`, the tokenizer's; our own additions stand in `xlsr.json` alone.
"""

from __future__ import annotations

import json
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


@dataclass(frozen=True)
class Description:
    """A model without its weights.

    Attributes:
        config: the architecture.
        tokenizer: None for a model without a vocabulary (a pre-trained encoder).
        preprocessor: the keys of `preprocessor_config.json`.
        extras: the keys of `xlsr.json`.
        folder: where it was read; None for a model that has not been saved.
    """

    config: Wav2Vec2Config
    tokenizer: Tokenizer | None = None
    preprocessor: JsonObject = field(default_factory=lambda: dict(DEFAULT_PREPROCESSOR))
    extras: JsonObject = field(default_factory=dict)
    folder: Path | None = None

    @property
    def normalizes(self) -> bool:
        """Whether waveforms are brought to zero mean and unit variance first."""
        return bool(self.preprocessor.get("do_normalize", True))

    @property
    def name(self) -> str:
        """What messages call the model."""
        if isinstance(named := self.extras.get("name"), str):
            return named
        return str(self.folder) if self.folder else "unsaved model"


def find_model(model: str | Path, *, language: str | None = None) -> Path:
    """Return the folder of a model: the shipped one for "default", a folder, or a name on the hub.

    Raises:
        CheckpointError: there is no such folder or name, or the folder holds no config.json.
    """
    folder = DEFAULT_MODEL if str(model) == "default" else Path(model).expanduser()
    if not folder.exists() and is_hub_name(str(model)):
        folder = fetch(str(model), language=language)
    if not folder.exists():
        raise CheckpointError(
            f"model {model} is not there: it is neither a folder, nor a hub name (owner/name), nor default"
        )
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json; a model folder as transformers saves it is wanted")
    return folder


def read_description(folder: Path, *, language: str | None = None) -> Description:
    """Read everything of a model folder but its weights.

    Raises:
        ConfigError, TokenizerError: a file is damaged, contradicts itself or asks for what is not supported.
    """
    config = Wav2Vec2Config.from_json(folder / "config.json")
    preprocessor = dict(DEFAULT_PREPROCESSOR)
    if (folder / "preprocessor_config.json").is_file():
        preprocessor = read_json_object(folder / "preprocessor_config.json")
    if (rate := preprocessor.get("sampling_rate", 16000)) != 16000:
        raise ConfigError(f"{folder}: sampling_rate is {rate}; models of 16000 Hz are supported")
    extras = read_json_object(folder / "xlsr.json") if (folder / "xlsr.json").is_file() else {}
    tokenizer = None
    if (folder / "vocab.json").is_file():
        tokenizer = Tokenizer.from_folder(folder, language=language, pad_token_id=config.pad_token_id)
    return Description(config, tokenizer, preprocessor, extras, folder)


def write_description(description: Description, folder: Path) -> None:
    """Write everything of a model folder but its weights, for transformers 4 and 5."""
    folder.mkdir(parents=True, exist_ok=True)
    description.config.to_json(folder / "config.json")
    _write_json(folder / "preprocessor_config.json", description.preprocessor)
    if description.tokenizer is not None:
        description.tokenizer.to_folder(folder)
        _write_json(folder / "processor_config.json", {"processor_class": "Wav2Vec2Processor"})
    if description.extras:
        _write_json(folder / "xlsr.json", description.extras)


def _write_json(path: Path, values: Json) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
