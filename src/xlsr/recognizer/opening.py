"""A model folder -> the engine that runs it, its description and its decoder. Only here is it decided which."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from xlsr.checkpoint.decoder import read_decoder
from xlsr.checkpoint.folder import Description, read_description
from xlsr.decoding.greedy import GreedyDecoder
from xlsr.decoding.options import BeamOptions
from xlsr.engines.engine import Engine
from xlsr.errors import CheckpointError, ConfigError, require
from xlsr.recognizer.reading import Decoder
from xlsr.tokenizer import Tokenizer

EngineName = Literal["auto", "openvino", "torch"]
DecoderChoice = Decoder | BeamOptions | Literal["auto", "greedy"]


def open_engine(
    folder: Path, *, engine: EngineName, device: str, language: str | None, threads: int
) -> tuple[Engine, Description]:
    """Open the exported graph of a folder, or its weights; the arguments are those of `Recognizer.from_pretrained`.

    Raises:
        ConfigError: there is no such engine, or a number of threads below 0.
        CheckpointError: the folder has no graph or no CTC head, or they do not fit.
        MissingDependencyError: torch is needed and not installed.
    """
    if engine not in get_args(EngineName) or threads < 0:
        raise ConfigError(
            f"engine {engine!r} with {threads} threads; wanted: one of {', '.join(get_args(EngineName))}, 0 or more"
        )
    graph = folder / "openvino" / "model.xml"
    if engine == "openvino" and not graph.is_file():
        raise CheckpointError(f"{folder} has no OpenVINO graph; make one: xlsr export openvino {folder} OUT")
    if engine == "openvino" or (engine == "auto" and graph.is_file() and device in ("auto", "cpu")):
        return _open_graph(folder, graph, language, threads)
    return _open_weights(folder, language, device, threads)


def _open_graph(folder: Path, graph: Path, language: str | None, threads: int) -> tuple[Engine, Description]:
    from xlsr.engines.openvino import OpenVINOEngine

    description = read_description(folder)
    spoken = description.tokenizer_language
    if language is not None and language != spoken:
        raise CheckpointError(
            f"the graph of {folder} was exported for {spoken or 'one language'}, not for {language}: "
            "export it again with --language, or take --engine torch"
        )
    return OpenVINOEngine(graph, description.config, normalizes=description.normalizes, threads=threads), description


def _open_weights(folder: Path, language: str | None, device: str, threads: int) -> tuple[Engine, Description]:
    torch = require("torch", "torch", f"running the weights of {folder} (it has no exported graph for this device)")
    from xlsr.checkpoint.load import load_checkpoint
    from xlsr.engines.torch import TorchEngine
    from xlsr.model.wav2vec2 import Wav2Vec2ForCTC

    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_checkpoint(folder, language=language)
    if not isinstance(loaded.network, Wav2Vec2ForCTC):
        raise CheckpointError(
            f"{folder} holds a {type(loaded.network).__name__}, an encoder without a CTC head: it has no vocabulary, "
            "so it cannot transcribe; fine-tune it first (xlsr finetune)"
        )
    try:
        engine = TorchEngine(loaded.network, normalizes=loaded.description.normalizes, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device} cannot be used: {str(error).partition(chr(10))[0]}") from error
    return engine, loaded.description


def open_decoder(chosen: DecoderChoice, description: Description, tokenizer: Tokenizer) -> Decoder:
    """Open a beam search, or the best path.

    Args:
        chosen: as for `Recognizer.from_pretrained`.
        description: of the model, which may bring a language model.
        tokenizer: its vocabulary.

    Raises:
        ConfigError: another name, or options that exclude each other.
        LanguageModelError, LexiconError: a file cannot be read, or does not fit the vocabulary.
    """
    if chosen == "auto":
        chosen = read_decoder(description) or "greedy"
    if chosen == "greedy":
        return GreedyDecoder(tokenizer.blank_id)
    if isinstance(chosen, str):
        raise ConfigError(f"decoder is {chosen!r}; wanted auto, greedy, the options of a beam search, or a decoder")
    if isinstance(chosen, BeamOptions):
        from xlsr.decoding.beam import BeamSearchDecoder  # compiled code, which most do not need

        return BeamSearchDecoder(tokenizer, chosen)
    return chosen
