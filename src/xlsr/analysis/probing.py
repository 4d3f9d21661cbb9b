"""How well phones can be told from single frames of each layer, without fine-tuning: text, JSON and an HTML page.

Plain classifiers (`classifiers`) are fitted on one half of the recordings and tried on the other, with voices kept
apart; beside the model stand log-mel features and the same network with random weights. A layer that beats both has
learnt something of speech; how the curve rises from checkpoint to checkpoint is the progress of pre-training.

Frames take the phone that is heard at their centre; frames outside every phone, and phones of under a second in the
training half, are left out. Source: the habit of probing layer by layer is Alain & Bengio's, arXiv 1610.01644.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xlsr.analysis.phones import Halves, divide, label_frames
from xlsr.analysis.pieces import Piece, Progress, read_pieces
from xlsr.classifiers import FrameSums
from xlsr.config import Wav2Vec2Config
from xlsr.data.manifest import Utterance, read_manifest
from xlsr.errors import ConfigError, XlsrError, require
from xlsr.features import FEATURE_SIZE, HOP_SAMPLES, STACK, WINDOW_SAMPLES, log_mel_features
from xlsr.metrics import ErrorCounts, bootstrap_interval
from xlsr.recognizer import Failure
from xlsr.report import Page, check_plots
from xlsr.tables import Table

if TYPE_CHECKING:
    from xlsr.analysis.encode import Encoder
    from xlsr.checkpoint.load import Checkpoint

Kind = Literal["log-mel", "model", "random"]

_MEL_FIELD = WINDOW_SAMPLES + (STACK - 1) * HOP_SAMPLES


@dataclass(frozen=True)
class Accuracy:
    """The share of frames whose phone was told, with its 95 % interval over what was kept apart."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Probed:
    """What one kind of frames tells of phones.

    Attributes:
        kind: "log-mel", "model", or "random": the model's architecture with random weights.
        layer: 0 is the input of the first layer, 1 its output, and so on; None for log-mel features.
        linear: by the linear classifier.
        nearest: by the nearest mean of a class.
    """

    kind: Kind
    layer: int | None
    linear: Accuracy
    nearest: Accuracy


@dataclass(frozen=True)
class ProbeReport:
    """What the layers of a model tell of phones.

    Attributes:
        model: its name.
        manifest: the file.
        split: the rows that were taken; None: all.
        results: log-mel, then the model's layers, then the random network's.
        phones: the classes.
        majority: the share of the most frequent class in the test half, told by no classifier.
        train_frames, test_frames: that were used, of the model.
        covered: share of the phones' time in the test half that belongs to these classes.
        units: what is on one side only: "speakers", "languages" or "recordings".
        failures: utterances that were left out, and why.
    """

    model: str
    manifest: str
    split: str | None
    results: tuple[Probed, ...]
    phones: tuple[str, ...]
    majority: float
    train_frames: int
    test_frames: int
    covered: float
    units: str
    failures: tuple[Failure, ...]

    def of(self, kind: Kind) -> tuple[Probed, ...]:
        """The results of one kind of frames."""
        return tuple(one for one in self.results if one.kind == kind)

    @property
    def best(self) -> Probed:
        """The model's best layer, by the linear classifier."""
        return max(self.of("model"), key=lambda one: one.linear.value)

    @property
    def note(self) -> str:
        """How the figures were made."""
        return (
            f"{len(self.phones)} phones; {self.train_frames} frames to learn from, {self.test_frames} to be told, "
            f"{self.covered:.1%} of the phones there; {self.units} kept apart; the most frequent phone has "
            f"{self.majority:.1%}; 95 % intervals"
        )

    def table(self) -> Table:
        """Return a row for each layer, the model's beside the random network's, under the log-mel features'."""
        (mel,) = self.of("log-mel")
        rows: list[tuple[str, ...]] = [("log-mel", str(mel.linear), str(mel.nearest), "", "")]
        for ours, fresh in zip(self.of("model"), self.of("random"), strict=True):
            figures = (ours.linear, ours.nearest, fresh.linear, fresh.nearest)
            rows.append((f"layer {ours.layer}", *map(str, figures)))
        return Table(("frames", "linear", "nearest mean", "random linear", "random nearest mean"), tuple(rows))

    def to_text(self) -> str:
        """Return the table for a terminal."""
        return self.table().to_text()

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON values."""
        return asdict(self) | {"best_layer": self.best.layer}

    def to_json(self) -> str:
        """Return `to_dict()` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def to_page(self) -> Page:
        """Return the HTML page. Raises MissingDependencyError where matplotlib is not installed."""
        source = "/".join(Path(self.manifest).parts[-2:])
        part = f", split {self.split}" if self.split else ""
        page = Page(f"Phones in {self.model} on {source}{part}", "Frames told by plain classifiers, layer by layer.")
        return self.add_to(page)

    def add_to(self, page: Page) -> Page:
        """Add the section to a page, such as a training's; returns it."""
        (mel,) = self.of("log-mel")
        best, rest = self.best, {one.layer: one for one in self.of("random")}
        page.heading("Phones told from single frames")
        page.figures(
            {
                "best layer": (f"{best.linear.value:.1%}", f"layer {best.layer}, linear"),
                "random weights": (f"{rest[best.layer].linear.value:.1%}", "the same layer"),
                "log-mel": f"{mel.linear.value:.1%}",
                "most frequent phone": f"{self.majority:.1%}",
            }
        )
        layers = [float(one.layer or 0) for one in self.of("model")]
        series = {
            "model": (layers, [100 * one.linear.value for one in self.of("model")]),
            "model, nearest mean": (layers, [100 * one.nearest.value for one in self.of("model")]),
            "random weights": (layers, [100 * one.linear.value for one in self.of("random")]),
            "log-mel": (layers, [100 * mel.linear.value] * len(layers)),
        }
        page.curves("Frames told by layer", series, x_label="layer", y_label="frames told, %")
        page.table(self.table()).note(f"{self.note}.")
        if self.failures:
            failed = tuple((failure.audio, failure.error) for failure in self.failures)
            page.heading("Left out").table(Table(("recording", "why"), failed))
        return page


def probe_features(
    model: Checkpoint | str | Path,
    manifest: Path | str,
    *,
    split: str | None = None,
    layer: int | Literal["all"] = "all",
    report: Path | str | None = None,
    device: str = "auto",
    threads: int = 0,
    batch_seconds: float = 20.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> ProbeReport:
    """Tell phones from the frozen frames of an encoder's layers; nothing is fine-tuned.

    Args:
        model: any checkpoint: in memory, or what `load_checkpoint` takes.
        manifest: a JSON-lines list of utterances with `alignment`: phones with their times.
        split: take the rows of this split only.
        layer: this layer only, 0 being the input of the first.
        report: write an HTML page here.
        device: "cpu", "cuda", ...; "auto" is a GPU where there is one.
        threads: CPU threads; 0 leaves the choice to torch.
        batch_seconds: seconds of audio computed at once.
        seed: of the halves and of the random weights.
        progress: wraps the batches of each half, given their number, such as with a progress bar.

    Raises:
        ManifestError: the manifest cannot be read, or has too few phones with times.
        ConfigError: there is no such layer.
        CheckpointError: the model cannot be read.
        MissingDependencyError: torch is not installed, or matplotlib is not and a page is wanted.
        XlsrError: nothing could be read.
    """
    require("torch", "torch", "running an encoder")
    from xlsr.analysis.encode import Encoder

    if report is not None:  # what is missing is said before the work
        check_plots()
        Path(report).parent.mkdir(parents=True, exist_ok=True)
    halves = divide(read_manifest(manifest, split=split), str(manifest), seed)
    encoder = Encoder.load(model, device=device, threads=threads)
    run = _Run(halves, encoder, _layers(layer, encoder.config), seed, batch_seconds, progress)
    run.learn()
    results, tested = run.tell()
    result = ProbeReport(
        model=encoder.description.name,
        manifest=str(manifest),
        split=split,
        results=results,
        phones=halves.phones,
        majority=float(tested.max() / tested.sum()),
        train_frames=run.learnt,
        test_frames=int(tested.sum()),
        covered=halves.covered,
        units=halves.units,
        failures=tuple(run.failures),
    )
    if report is not None:
        result.to_page().write(report)
    return result


@dataclass(frozen=True, eq=False)
class _Frames:
    """The frames of a batch that have a class.

    Attributes:
        states: (frames, dim) float32.
        labels: (frames,), their classes.
        owners: (frames,), which piece of the batch each is from.
    """

    states: NDArray[np.float32]
    labels: NDArray[np.int64]
    owners: NDArray[np.int64]


class _Run:
    """Two passes over a corpus: one that adds up, one that classifies."""

    def __init__(
        self,
        halves: Halves,
        encoder: Encoder,
        layers: Sequence[int],
        seed: int,
        batch_seconds: float,
        progress: Progress | None,
    ) -> None:
        self.halves, self.encoder, self.layers = halves, encoder, layers
        self.untrained = encoder.untrained(seed)
        self.batch_seconds, self.progress = batch_seconds, progress
        config = encoder.config
        kinds: list[tuple[Kind, int | None, int]] = [("log-mel", None, FEATURE_SIZE)]
        kinds += [("model", layer, config.hidden_size) for layer in layers]
        kinds += [("random", layer, config.hidden_size) for layer in layers]
        self.keys = [(kind, layer) for kind, layer, _ in kinds]
        self.sums = [FrameSums(dim, len(halves.phones)) for _, _, dim in kinds]
        self.failures = list(halves.left_out)

    @property
    def learnt(self) -> int:
        """Frames of the model that were added up."""
        return int(self.sums[1].counts.sum())

    def learn(self) -> None:
        """Add up the half to learn from."""
        for batch in self._batches(self.halves.train):
            for sums, frames in zip(self.sums, self._frames(batch), strict=True):
                sums.add(frames.states, frames.labels)

    def tell(self) -> tuple[tuple[Probed, ...], NDArray[np.int64]]:
        """Classify the other half; returns the results and how many frames each class has there."""
        if not all(sums.counts.all() for sums in self.sums):
            raise XlsrError(f"too few recordings of {len(self.halves.train)} to learn from could be read")
        classifiers = [sums.fit() for sums in self.sums]
        told = [(_Told(self.halves), _Told(self.halves)) for _ in classifiers]
        tested = np.zeros(len(self.halves.phones), np.int64)
        for batch in self._batches(self.halves.test):
            for number, frames in enumerate(self._frames(batch)):
                fitted, (linear, nearest) = classifiers[number], told[number]
                linear.add(batch, frames, fitted.linear(frames.states))
                nearest.add(batch, frames, fitted.nearest(frames.states))
                if number == 1:  # the model's first layer; the others have the same frames
                    tested += np.bincount(frames.labels, minlength=len(tested))
        if not tested.any():
            raise XlsrError(f"none of {len(self.halves.test)} utterances to be told could be read")
        results = (
            Probed(kind, layer, linear.accuracy(), nearest.accuracy())
            for (kind, layer), (linear, nearest) in zip(self.keys, told, strict=True)
        )
        return tuple(results), tested

    def _batches(self, utterances: Sequence[Utterance]) -> Iterator[list[Piece]]:
        """Pieces to compute at once; what cannot be read is noted."""
        config = self.encoder.config
        for batch in read_pieces(utterances, config, batch_seconds=self.batch_seconds, progress=self.progress):
            if isinstance(batch, Failure):
                self.failures.append(batch)
            else:
                yield batch

    def _frames(self, batch: Sequence[Piece]) -> Iterator[_Frames]:
        """The frames of each kind, in the order of `keys`."""
        mel = [log_mel_features(piece.samples) for piece in batch]
        yield next(self._labelled(batch, [mel], _MEL_FIELD))
        for encoder in (self.encoder, self.untrained):
            yield from self._labelled(batch, encoder.states(batch, self.layers), encoder.config.field_samples)

    def _labelled(
        self, batch: Sequence[Piece], layers: Sequence[Sequence[NDArray[np.float32]]], field: int
    ) -> Iterator[_Frames]:
        """The frames of each layer that have a class; all layers have the same."""
        hop = self.encoder.config.hop_samples // self.encoder.config.thinning
        counts = [len(one) for one in layers[0]]
        pairs = zip(batch, counts, strict=True)
        found = [label_frames(piece, n, phones=self.halves.phones, hop=hop, field=field) for piece, n in pairs]
        labels, owners = np.concatenate(found), np.repeat(np.arange(len(batch)), counts)
        kept = labels >= 0
        for layer in layers:
            yield _Frames(np.concatenate(layer)[kept], labels[kept], owners[kept])


class _Told:
    """Frames told rightly and wrongly, by what is kept apart."""

    def __init__(self, halves: Halves) -> None:
        self.halves = halves
        self.counts: dict[str, ErrorCounts] = {}

    def add(self, batch: Sequence[Piece], frames: _Frames, told: NDArray[np.int64]) -> None:
        """Add the frames of a batch, and the classes that they were told to be."""
        totals = np.bincount(frames.owners, minlength=len(batch)).tolist()
        hits = np.bincount(frames.owners[told == frames.labels], minlength=len(batch)).tolist()
        for piece, total, right in zip(batch, totals, hits, strict=True):
            unit = self.halves.unit_of(piece.utterance)
            found = ErrorCounts(substitutions=total - right, hits=right)
            self.counts[unit] = self.counts.get(unit, ErrorCounts()) + found

    def accuracy(self) -> Accuracy:
        counts = [count for _, count in sorted(self.counts.items())]
        interval = bootstrap_interval(counts)
        return Accuracy(1 - sum(counts, ErrorCounts()).rate, 1 - interval.high, 1 - interval.low)


def _layers(layer: int | Literal["all"], config: Wav2Vec2Config) -> list[int]:
    every = range(config.num_hidden_layers + 1)
    if layer == "all":
        return list(every)
    if layer not in every:
        raise ConfigError(f"layer is {layer}; the model has 0 (the input of the first layer) to {every[-1]}, or all")
    return [layer]
