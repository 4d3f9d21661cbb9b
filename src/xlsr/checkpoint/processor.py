"""The names by which transformers finds a language model in a model folder. Floor 3; unlike its reader not compiled."""

from __future__ import annotations

import json
from pathlib import Path

from xlsr.config import JsonObject, read_json_object

LAYOUT_FOLDER, ALPHABET = "language_model", "alphabet.json"
_PROCESSOR = "Wav2Vec2ProcessorWithLM"


def name_processor(folder: Path) -> None:
    """Let the files of a model folder name the processor with a language model."""
    for name in ("preprocessor_config.json", "processor_config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            write_json(folder / name, read_json_object(folder / name) | {"processor_class": _PROCESSOR})


def write_json(path: Path, values: JsonObject) -> None:
    """Write an object as our folders have them."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8", newline="\n")
