"""Who teaches: a network that hears the same audio, or features that one has left in files.

Both give frames, 50 a second; a student does not know which of the two it learns from. Nothing here learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xlsr.audio import HOP_SAMPLES
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import Network
from xlsr.checkpoint.load import load_checkpoint
from xlsr.config import Wav2Vec2Config
from xlsr.data.loading import load_readable
from xlsr.data.stored_features import Features, read_features
from xlsr.data.utterance import Utterance
from xlsr.engines.inputs import Inputs, batch_inputs
from xlsr.errors import AudioError, ConfigError, TrainingError
from xlsr.model.distillation import check_layers, layer_outputs
from xlsr.model.wav2vec2 import Wav2Vec2Model
from xlsr.training.distill_recipe import TeacherRecipe

_TRIED = 16  # files that are looked into for the width of all


@dataclass(frozen=True)
class Lesson:
    """An utterance, or a part of one, as the teacher has it.

    Attributes:
        waveform: (samples,) float32 mono at 16 kHz, as read.
        features: (frames, dim) that are stored of it; None: the teacher is to hear it.
    """

    waveform: NDArray[np.float32]
    features: Features | None = None


class Teacher(Protocol):
    """What frames are learnt from."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers a frame, of each layer."""

    def read(self, utterance: Utterance) -> Features | None:
        """What is stored of an utterance. Raises AudioError where it should be and cannot be read."""

    def num_frames(self, lesson: Lesson) -> int:
        """How many frames the teacher has of it."""

    def inputs(self, lessons: Sequence[Lesson]) -> Inputs:
        """What `frames` takes, padded into one batch."""

    def frames(self, values: Tensor, lengths: Tensor) -> Sequence[Tensor]:
        """Of each layer (batch, frames, size), on the device of the values, without gradient."""


class LiveTeacher:
    """A network, whose layers are counted from 1; those above the last one wanted are not computed."""

    def __init__(self, description: Description, network: Network, layers: Sequence[int]) -> None:
        """Take a network in evaluation mode.

        Args:
            description: of the model.
            network: with any head, which takes no part.
            layers: none is the last.

        Raises:
            ConfigError: there is no such layer, or frames are not 20 ms.
        """
        self.description, self.config = description, description.config
        self.layers = tuple(layers) or (self.config.num_hidden_layers,)
        check_layers(self.layers, self.config, "teacher")
        check_pace(self.config, "teacher")
        self.encoder = network if isinstance(network, Wav2Vec2Model) else network.wav2vec2

    def __str__(self) -> str:
        numbers = ", ".join(map(str, self.layers))
        return f"{self.description.name}: layer {numbers} of {self.config.num_hidden_layers}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers a frame, of each layer."""
        return (self.config.hidden_size,) * len(self.layers)

    def read(self, utterance: Utterance) -> None:
        """Nothing is stored: all is heard."""

    def num_frames(self, lesson: Lesson) -> int:
        """How many frames the encoder makes of it."""
        return self.config.num_encoder_frames(len(lesson.waveform))

    def inputs(self, lessons: Sequence[Lesson]) -> Inputs:
        """Waveforms, or log-mel features, as this network takes them."""
        return batch_inputs(
            [lesson.waveform for lesson in lessons], self.config, normalizes=self.description.normalizes
        )

    @torch.no_grad()
    def frames(self, values: Tensor, lengths: Tensor) -> Sequence[Tensor]:
        """Listen; the network follows to the device of the values."""
        encoder = self.encoder.to(values.device)
        conv, valid = encoder.feature_extractor(values, lengths)
        x, _ = encoder.feature_projection(conv)
        # Not further than the transformer: convolutions of `add_adapter` would thin out the frames.
        hidden, states = encoder.encoder(x, valid, skip=range(max(self.layers), self.config.num_hidden_layers))
        return layer_outputs(hidden, states, self.layers)


class StoredTeacher:
    """Features that the rows of manifests name."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        """Look at what is there.

        Raises:
            TrainingError: a row names none.
            AudioError: none of the first can be read.
        """
        without = [u.name for u in utterances if u.features is None]
        if without:
            raise TrainingError(
                f"{len(without)} of {len(utterances)} utterances name no features, such as {without[0]}: store them "
                "(xlsr features), or name the network that makes them: teacher.model"
            )
        self.size = load_readable(utterances[:_TRIED], read_features).found[0].shape[1]

    def __str__(self) -> str:
        return f"stored: {self.size} numbers a frame"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers a frame."""
        return (self.size,)

    def read(self, utterance: Utterance) -> Features:
        """The features of an utterance. Raises AudioError as `read_features`, or where they have another width."""
        features = read_features(utterance)
        if features.shape[1] != self.size:
            raise AudioError(
                f"{utterance.features} of {utterance.name} has {features.shape[1]} numbers a frame; others have "
                f"{self.size}, and one teacher is wanted"
            )
        return features

    def num_frames(self, lesson: Lesson) -> int:
        """How many frames are stored."""
        assert lesson.features is not None
        return len(lesson.features)

    def inputs(self, lessons: Sequence[Lesson]) -> Inputs:
        """The features themselves, padded with zeros."""
        lengths = np.array([self.num_frames(lesson) for lesson in lessons], dtype=np.int64)
        values = np.zeros((len(lessons), int(lengths.max()), self.size), dtype=np.float32)
        for row, lesson in zip(values, lessons, strict=True):
            assert lesson.features is not None
            row[: len(lesson.features)] = lesson.features
        return Inputs(values, lengths)

    def frames(self, values: Tensor, lengths: Tensor) -> Sequence[Tensor]:
        """The features themselves."""
        return (values,)


def find_teacher(recipe: TeacherRecipe, utterances: Sequence[Utterance]) -> Teacher:
    """The teacher that a recipe names, or the files that the utterances name.

    Raises:
        CheckpointError, ConfigError: the network cannot be loaded, or cannot teach.
        TrainingError, AudioError: as `StoredTeacher`.
    """
    if recipe.model is None:
        return StoredTeacher(utterances)
    found = load_checkpoint(recipe.model)
    found.network.requires_grad_(False)  # autocast keeps no copies of such weights
    return LiveTeacher(found.description, found.network, recipe.layers)


def check_pace(config: Wav2Vec2Config, whose: str) -> None:
    """Raise ConfigError where an encoder's frames are not 20 ms."""
    hop = config.hop_samples // config.thinning
    if hop != HOP_SAMPLES:
        raise ConfigError(f"a frame of the {whose} is {hop} samples; student and teacher need {HOP_SAMPLES}, 20 ms")
