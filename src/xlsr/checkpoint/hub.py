"""Models of the Hugging Face hub: fetched once, then found on disk.

What lies in the cache is used without asking the network. Only the files that are needed are fetched: configuration,
vocabulary, and one kind of weights, safetensors first.
"""

from __future__ import annotations

import re
from pathlib import Path

from xlsr.config import read_json_object
from xlsr.errors import CheckpointError

_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_DESCRIPTION = ["*.json", "dict.*.txt"]
_WEIGHTS = (
    ["model.safetensors", "model-*.safetensors"],
    ["pytorch_model.bin", "pytorch_model-*.bin"],
    ["flax_model.msgpack"],
    ["tf_model.h5"],
)


def is_hub_name(model: str) -> bool:
    """Whether this could be the name of a model on the hub: "facebook/wav2vec2-base-960h"."""
    return _NAME.fullmatch(model) is not None


def fetch(model: str, *, revision: str | None = None, language: str | None = None) -> Path:
    """Return the folder of a hub model, fetching what the cache lacks.

    Args:
        model: "owner/name".
        revision: branch, tag or commit; default: the main branch.
        language: ISO 639-3 code, to fetch that language's adapter of an MMS model.

    Raises:
        CheckpointError: there is no such model, the hub cannot be reached, or the model has no weights of ours.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    adapter = [f"adapter.{language}.safetensors", f"adapter.{language}.bin"] if language else []
    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
        # Other programs fetch parts of a model: what reads its input and output must be there too, or it is asked for.
        if (
            _is_complete(folder, adapter)
            and (folder / "preprocessor_config.json").is_file()
            and _has_vocabulary(folder)
        ):
            return folder
    except (OSError, HFValidationError):
        pass  # not in the cache
    try:
        for patterns in _WEIGHTS:
            wanted = [*_DESCRIPTION, *adapter, *patterns]
            folder = Path(snapshot_download(model, revision=revision, allow_patterns=wanted))
            if _is_complete(folder, adapter):
                return folder
            if adapter and _is_complete(folder, []):
                raise CheckpointError(f"{model} has no adapter for the language {language}, or it is not in the cache")
    except GatedRepoError as error:
        raise CheckpointError(f"{model} is gated: accept its terms on its page and log in (hf auth login)") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"the hub has no model {model} that you may read; a folder of that name is not here"
        ) from error
    except (OSError, HfHubHTTPError) as error:
        raise CheckpointError(
            f"model {model} is neither a folder nor in the cache, and the hub cannot be reached: {_first_line(error)}; "
            f"fetch it where there is a network (hf download {model}), or name a folder"
        ) from error
    raise CheckpointError(f"{model} has no weights that can be read; looked for {', '.join(p[0] for p in _WEIGHTS)}")


def _is_complete(folder: Path, adapter: list[str]) -> bool:
    """Whether a cached snapshot has a configuration, some weights, and one of the adapter's files if it is wanted."""
    weights = any(next(folder.glob(pattern), None) for patterns in _WEIGHTS for pattern in patterns)
    for index in folder.glob("*.index.json"):
        named = read_json_object(index).get("weight_map")
        weights &= isinstance(named, dict) and all((folder / str(name)).is_file() for name in named.values())
    return (folder / "config.json").is_file() and weights and (
        not adapter or any((folder / name).is_file() for name in adapter)
    )  # fmt: skip


def _has_vocabulary(folder: Path) -> bool:
    """Whether the vocabulary of a CTC model was fetched; other models have none."""
    named = read_json_object(folder / "config.json").get("architectures")
    is_ctc = isinstance(named, list) and any("ForCTC" in str(name) for name in named)
    return not is_ctc or (folder / "vocab.json").is_file()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
