"""Files of torchaudio (`.pth`): state dictionaries of its wav2vec 2.0 and HuBERT pipelines.

Such a file is tensors and nothing else, so the architecture is read off names and shapes. What these cannot tell is
what all released pipelines have in common, and stated where it is assumed: the strides of the convolutions are
(5, 2, 2, 2, 2, 2, 2); heads have 64 channels, in the networks of 1 and 2 billion parameters 80 and 120; models with
layer norm in the feature encoder are pre-norm, those with group norm are post-norm. The mask embedding is not in the
files: the configuration masks nothing, so that inference does not miss it.

Floor 3. Needs the extra `torch`; torchaudio is not needed, and nothing in a file is run.
"""

from __future__ import annotations

import re
from pathlib import Path

from xlsr.checkpoint.foreign import Foreign
from xlsr.checkpoint.keymap import TORCHAUDIO, spelt
from xlsr.checkpoint.torchfiles import LazyTensor, is_torch_file, read_torch
from xlsr.config import JsonObject, Wav2Vec2Config
from xlsr.errors import CheckpointError
from xlsr.tokenizer import SPECIAL_SYMBOLS, Tokenizer

_STRIDES = (5, 2, 2, 2, 2, 2, 2)
_HEADS = {1280: 16, 1920: 16}
_LETTERS = "| E T A O N I H S R D L U M W C F G Y P B V K ' X J Q Z".split()
_FIRST = "feature_extractor.conv_layers.0.conv.weight"
_POSITION = "encoder.transformer.pos_conv_embed.conv.weight_v"
_LAYERS = re.compile(r"encoder\.transformer\.layers\.([0-9]{1,4})\.attention\.q_proj\.weight")
_CONVS = re.compile(r"feature_extractor\.conv_layers\.([0-9]{1,2})\.conv\.weight")


def is_torchaudio(path: Path) -> bool:
    """Whether a file is a state dictionary of torchaudio, by its content; tensors are not read.

    Raises:
        CheckpointError: it is a file of torch.save, but damaged or refused; nobody else could read it either.
    """
    return is_torch_file(path) and _is_state(read_torch(path))


def read_torchaudio(path: Path, *, num_attention_heads: int | None = None) -> Foreign:
    """Read a state dictionary of torchaudio.

    Args:
        path: the `.pth` file.
        num_attention_heads: which shapes do not show; default: heads of 64 channels (80 and 120 in the largest).

    Returns:
        The checkpoint. A head of 29 rows has the labels of torchaudio's English pipelines, one of 32 those and
        fairseq's special symbols; for others there is no tokenizer.

    Raises:
        CheckpointError: the file is damaged, refused or no such dictionary, or shapes contradict each other.
        ConfigError: the sizes cannot be built.
    """
    state = read_torch(path)
    if not _is_state(state):
        raise CheckpointError(f"{path} is no state dictionary of torchaudio: it has no {_FIRST}")
    assert isinstance(state, dict)
    is_wrapped = f"model.{_FIRST}" in state
    names = {_short(str(name)): str(name) for name in state}
    aligned = TORCHAUDIO.align(names)
    if aligned.unknown or len(names) != len(state):
        raise CheckpointError(
            f"{path} holds {len(aligned.unknown)} tensors that a wav2vec 2.0 network has not, such as "
            f"{', '.join(repr(name[:100]) for name in aligned.unknown[:8])}; it is another architecture of torchaudio"
        )
    tensors = {short: state[name] for short, name in names.items()}
    config = _config(tensors, num_attention_heads, str(path))
    weights = {ours: tensors[theirs].load() for ours, theirs in aligned.names.items()}
    tokenizer = _tokenizer(len(weights["lm_head.weight"])) if "lm_head.weight" in weights else None
    normalizes = is_wrapped or config.feat_extract_norm == "layer"  # as the released pipelines do
    return Foreign("torchaudio", config, weights, tokenizer, normalizes)


def _is_state(state: object) -> bool:
    return (
        isinstance(state, dict)
        and (_FIRST in state or f"model.{_FIRST}" in state)
        and all(isinstance(name, str) and isinstance(value, LazyTensor) for name, value in state.items())
    )


def _short(name: str) -> str:
    """A name without the box around a model that normalises, with today's spelling of head and weight norm."""
    return spelt(re.sub(r"^encoder\.readout\.", "aux.", name.removeprefix("model.")))


def _config(tensors: dict[str, LazyTensor], heads: int | None, source: str) -> Wav2Vec2Config:
    """The architecture that names and shapes show."""
    kernels = [_shape(tensors, f"feature_extractor.conv_layers.{i}.conv.weight", 3, source)
               for i in range(_count(_CONVS, tensors))]  # fmt: skip
    if len(kernels) != len(_STRIDES):
        raise CheckpointError(
            f"{source} has {len(kernels)} convolutions; the {len(_STRIDES)} of wav2vec 2.0 are wanted"
        )
    position = _shape(tensors, _POSITION, 3, source)
    hidden = position[0]
    if hidden < 1 or position[1] < 1 or hidden % position[1]:
        raise CheckpointError(f"{source}: the positional convolution has the impossible shape {position}")
    if heads is None and hidden not in _HEADS and hidden % 64:
        raise CheckpointError(f"{source}: heads of 64 channels do not fit {hidden}; give num_attention_heads")
    has_norms = "feature_extractor.conv_layers.1.layer_norm.weight" in tensors
    dense = "encoder.transformer.layers.0.feed_forward.intermediate_dense.weight"
    values: JsonObject = {
        "hidden_size": hidden,
        "num_hidden_layers": _count(_LAYERS, tensors),
        "num_attention_heads": heads or _HEADS.get(hidden, hidden // 64),
        "intermediate_size": _shape(tensors, dense, 2, source)[0],
        "conv_dim": [shape[0] for shape in kernels],
        "conv_kernel": [shape[2] for shape in kernels],
        "conv_stride": list(_STRIDES),
        "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in tensors,
        "feat_extract_norm": "layer" if has_norms else "group",
        "do_stable_layer_norm": has_norms,
        "num_conv_pos_embeddings": position[2],
        "num_conv_pos_embedding_groups": hidden // position[1],
        "apply_spec_augment": False,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "architectures": ["Wav2Vec2Model"],
    }
    if "aux.weight" in tensors:
        vocab_size = _shape(tensors, "aux.weight", 2, source)[0]
        values |= {"vocab_size": vocab_size, "architectures": ["Wav2Vec2ForCTC"]}
        if vocab_size != len(SPECIAL_SYMBOLS) + len(_LETTERS):  # no sentence marks among the labels
            values |= {"bos_token_id": None, "eos_token_id": None}
    return Wav2Vec2Config.from_dict(values, name=source)


def _count(pattern: re.Pattern[str], tensors: dict[str, LazyTensor]) -> int:
    """How many layers names of a pattern speak of; a gap shows later as missing tensors."""
    return max((int(match[1]) + 1 for name in tensors if (match := pattern.fullmatch(name))), default=0)


def _shape(tensors: dict[str, LazyTensor], name: str, dims: int, source: str) -> tuple[int, ...]:
    if name not in tensors or len(tensors[name].shape) != dims:
        found = tensors[name].shape if name in tensors else "nothing"
        raise CheckpointError(f"{source}: {name} should have {dims} dimensions, but it is {found}")
    return tensors[name].shape


def _tokenizer(vocab_size: int) -> Tokenizer | None:
    """The labels of the English pipelines, whose blank, '-' or `<s>`, is named `<pad>` here."""
    for specials in (SPECIAL_SYMBOLS[:1], SPECIAL_SYMBOLS):
        if vocab_size == len(specials) + len(_LETTERS):
            return Tokenizer.from_symbols([*specials, *_LETTERS])
    return None
