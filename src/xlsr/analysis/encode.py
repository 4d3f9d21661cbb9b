"""The network of an analysis: pieces of recordings -> codebook entries, or the states of every layer.

The one module here that needs torch (extra `torch`). Padded batches give what single pieces give, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xlsr.analysis.pieces import Piece
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import Network
from xlsr.checkpoint.load import Checkpoint, load_checkpoint
from xlsr.engines.inputs import batch_inputs
from xlsr.errors import CheckpointError, ConfigError
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.model.wav2vec2 import Wav2Vec2Model

States = list[NDArray[np.float32]]


class Encoder:
    """A network that is looked into; it is never trained here.

    Args:
        description: of the model.
        network: in evaluation mode.
        device: "cpu", "cuda", ...
    """

    def __init__(self, description: Description, network: Network, device: str = "cpu") -> None:
        self.description, self.config, self.device = description, description.config, device
        try:
            self.network = network.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"device {device} cannot be used: {str(error).partition(chr(10))[0]}") from error
        self.encoder = network if isinstance(network, Wav2Vec2Model) else network.wav2vec2

    @classmethod
    def load(cls, model: Checkpoint | str | Path, *, device: str = "auto", threads: int = 0) -> Encoder:
        """Load a model for looking into.

        Args:
            model: a checkpoint in memory, or what `load_checkpoint` takes.
            device: "cpu", "cuda", ...; "auto" is a GPU where there is one.
            threads: CPU threads; 0 leaves the choice to torch.
        """
        if threads:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        checkpoint = model if isinstance(model, Checkpoint) else load_checkpoint(model)
        return cls(checkpoint.description, checkpoint.network, device)

    def untrained(self, seed: int = 0) -> Encoder:
        """An encoder of the same architecture with fresh weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Encoder(self.description, Wav2Vec2Model(self.config), self.device)

    @property
    def codebooks(self) -> tuple[int, int]:
        """Groups, and entries in each. Raises CheckpointError where the model has no quantizer."""
        network = self._with_quantizer()
        return network.quantizer.groups, network.quantizer.entries

    @torch.inference_mode()
    def codes(self, pieces: Sequence[Piece]) -> list[NDArray[np.int64]]:
        """Return the likeliest entries of each piece, (frames, groups). The layers are not computed."""
        network = self._with_quantizer()
        values, lengths, counts = self._inputs(pieces)
        conv, _ = self.encoder.feature_extractor(values, lengths)
        _, features = self.encoder.feature_projection(conv)
        codes = network.quantizer(features).codes.cpu().numpy()
        return [row[:count] for row, count in zip(codes, counts, strict=True)]

    @torch.inference_mode()
    def states(self, pieces: Sequence[Piece], layers: Sequence[int]) -> list[States]:
        """Return what layers make of each piece.

        Args:
            pieces: at least one.
            layers: 0 is the input of the first layer, 1 its output, and so on.

        Returns:
            For each layer, for each piece (frames, hidden_size) float32.
        """
        values, lengths, counts = self._inputs(pieces)
        states = self.encoder(values, lengths).states
        arrays = [states[layer].float().cpu().numpy() for layer in layers]
        return [[row[:count] for row, count in zip(array, counts, strict=True)] for array in arrays]

    def _with_quantizer(self) -> Wav2Vec2ForPreTraining:
        if not isinstance(self.network, Wav2Vec2ForPreTraining):
            raise CheckpointError(
                f"{self.description.name} holds a {type(self.network).__name__}, which has no quantizer: "
                "name a checkpoint of pre-training"
            )
        return self.network

    def _inputs(self, pieces: Sequence[Piece]) -> tuple[Tensor, Tensor | None, list[int]]:
        """The batch, its lengths where there is padding, and the frames of each piece."""
        samples = [piece.samples for piece in pieces]
        inputs = batch_inputs(samples, self.config, normalizes=self.description.normalizes)
        padded = inputs.lengths.min() < inputs.lengths.max()
        lengths = torch.from_numpy(inputs.lengths).to(self.device) if padded else None
        counts = [self.config.num_encoder_frames(len(one)) for one in samples]
        return torch.from_numpy(inputs.values).to(self.device), lengths, counts
