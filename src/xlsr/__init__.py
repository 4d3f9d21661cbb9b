"""A complete wav2vec 2.0 / XLSR system: pre-train, fine-tune, transcribe, align, export, serve.

    import xlsr
    print(xlsr.load_model().transcribe("talk.mp3").text)

The public names are loaded when they are first used, so that `import xlsr` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from xlsr.version import __version__

_HOMES = {
    "attach_lm": "xlsr.checkpoint.decoder",
    "tune_lm": "xlsr.evaluation.tuning",
    "BeamOptions": "xlsr.decoding.options",
    "BeamSearchDecoder": "xlsr.decoding.beam",
    "Recognizer": "xlsr.recognizer",
    "Failure": "xlsr.recognizer",
    "StreamingRecognizer": "xlsr.streaming",
    "Update": "xlsr.streaming",
    "load_model": "xlsr.recognizer",
    "load_audio": "xlsr.audio",
    "Transcript": "xlsr.results",
    "AudioInfo": "xlsr.results",
    "Segment": "xlsr.results",
    "Word": "xlsr.results",
    "Character": "xlsr.results",
    "Phone": "xlsr.results",
    "Tokenizer": "xlsr.tokenizer",
    "Wav2Vec2Config": "xlsr.config",
    "XlsrError": "xlsr.errors",
    "forced_align": "xlsr.alignment",
    "NGram": "xlsr.decoding.ngram",
    "build_lm": "xlsr.decoding.ngram.build",
    "score_lm": "xlsr.decoding.ngram.score",
    "wer": "xlsr.metrics",
    "cer": "xlsr.metrics",
    "prepare": "xlsr.data.prepare",
    "read_manifest": "xlsr.data.manifest",
    "doctor": "xlsr.data.doctor",
    "DoctorReport": "xlsr.data.findings",
    "evaluate": "xlsr.evaluation",
    "codes": "xlsr.analysis.codes",
    "probe_features": "xlsr.analysis.probing",
    "write_manifest": "xlsr.data.manifest",
    "store_features": "xlsr.analysis.storing",
    "write_features": "xlsr.data.stored_features",
    "distill": "xlsr.training.distill",
    "finetune": "xlsr.training.finetune",
    "pretrain": "xlsr.training.pretrain",
    "export_model": "xlsr.export.graph",
    "import_model": "xlsr.checkpoint.load",
    "info": "xlsr.checkpoint.summary",
    "load_checkpoint": "xlsr.checkpoint.load",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from xlsr.alignment import forced_align as forced_align
    from xlsr.analysis.codes import codes as codes
    from xlsr.analysis.probing import probe_features as probe_features
    from xlsr.analysis.storing import store_features as store_features
    from xlsr.audio import load_audio as load_audio
    from xlsr.checkpoint.decoder import attach_lm as attach_lm
    from xlsr.checkpoint.load import import_model as import_model
    from xlsr.checkpoint.load import load_checkpoint as load_checkpoint
    from xlsr.checkpoint.summary import info as info
    from xlsr.config import Wav2Vec2Config as Wav2Vec2Config
    from xlsr.data.doctor import doctor as doctor
    from xlsr.data.findings import DoctorReport as DoctorReport
    from xlsr.data.manifest import read_manifest as read_manifest
    from xlsr.data.manifest import write_manifest as write_manifest
    from xlsr.data.prepare import prepare as prepare
    from xlsr.data.stored_features import write_features as write_features
    from xlsr.decoding.beam import BeamSearchDecoder as BeamSearchDecoder
    from xlsr.decoding.ngram import NGram as NGram
    from xlsr.decoding.ngram.build import build_lm as build_lm
    from xlsr.decoding.ngram.score import score_lm as score_lm
    from xlsr.decoding.options import BeamOptions as BeamOptions
    from xlsr.errors import XlsrError as XlsrError
    from xlsr.evaluation import evaluate as evaluate
    from xlsr.evaluation.tuning import tune_lm as tune_lm
    from xlsr.export.graph import export_model as export_model
    from xlsr.metrics import cer as cer
    from xlsr.metrics import wer as wer
    from xlsr.recognizer import Failure as Failure
    from xlsr.recognizer import Recognizer as Recognizer
    from xlsr.recognizer import load_model as load_model
    from xlsr.results import AudioInfo as AudioInfo
    from xlsr.results import Character as Character
    from xlsr.results import Phone as Phone
    from xlsr.results import Segment as Segment
    from xlsr.results import Transcript as Transcript
    from xlsr.results import Word as Word
    from xlsr.streaming import StreamingRecognizer as StreamingRecognizer
    from xlsr.streaming import Update as Update
    from xlsr.tokenizer import Tokenizer as Tokenizer
    from xlsr.training.distill import distill as distill
    from xlsr.training.finetune import finetune as finetune
    from xlsr.training.pretrain import pretrain as pretrain


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'xlsr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
