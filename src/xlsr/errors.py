"""The errors of `xlsr`, and the one way to ask for an optional dependency. Floor 0: imports nothing of ours.

    XlsrError
    ├── AudioError               a recording cannot be read, or holds no usable signal
    │   ├── TruncatedError       it ends before its header, or its row, says
    │   └── NotFiniteError       it holds NaN or infinite samples
    ├── ConfigError              a config.json that this network cannot compute exactly
    ├── CheckpointError          weights that are missing, left over, of another shape, or damaged
    ├── TokenizerError           a vocabulary that contradicts itself, or text outside it
    ├── LanguageModelError       an n-gram model that cannot be read, or a text that none can be made of
    ├── LexiconError             a list of words that cannot be read, or spells outside the vocabulary
    ├── AlignmentError           a text that does not fit its recording
    ├── ManifestError            a list of utterances that cannot be read
    ├── RecipeError              a training recipe with unknown or contradictory keys
    ├── TrainingError            a run that cannot start, resume or go on
    ├── ExportError              an exported graph that does not equal its source
    └── MissingDependencyError   an optional package is needed; the message is the install line

Every message says what is wrong, what was found, what was wanted and what to do. The command line prints it
without a traceback and exits with status 1 (2 for a wrong call).
"""

from __future__ import annotations

import importlib
from types import ModuleType


class XlsrError(Exception):
    """Base of every error that a user can cause and cure."""


class AudioError(XlsrError):
    """A recording cannot be read, or holds no usable signal."""


class TruncatedError(AudioError):
    """A recording ends before its header, or its row in a manifest, says."""


class NotFiniteError(AudioError):
    """A recording holds NaN or infinite samples."""


class ConfigError(XlsrError):
    """A `config.json` that this network cannot compute exactly."""


class CheckpointError(XlsrError):
    """Weights that are missing, left over, of another shape, or damaged."""


class TokenizerError(XlsrError):
    """A vocabulary that contradicts itself, or text outside it."""


class LanguageModelError(XlsrError):
    """An n-gram model that cannot be read, or a text that none can be made of."""


class LexiconError(XlsrError):
    """A list of words that cannot be read, or spells outside the vocabulary."""


class AlignmentError(XlsrError):
    """A text that does not fit its recording."""


class ManifestError(XlsrError):
    """A list of utterances that cannot be read."""


class RecipeError(XlsrError):
    """A training recipe with unknown or contradictory keys."""


class TrainingError(XlsrError):
    """A run that cannot start, resume or go on."""


class ExportError(XlsrError):
    """An exported graph that does not equal its source."""


class MissingDependencyError(XlsrError, ImportError):
    """An optional package is needed; the message is the install line."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or raise the line that installs it.

    Args:
        module: dotted name, such as `torch`.
        extra: the extra of this package that brings it.
        purpose: what it is needed for, as the message's subject: "training".

    Raises:
        MissingDependencyError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingDependencyError(f"{package} is needed for {purpose}: pip install 'xlsr[{extra}]'") from error
