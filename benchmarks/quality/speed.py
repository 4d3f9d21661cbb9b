"""Fit the classifier of `xlsr.audio.speed` on real speech, and say how often it errs on speakers that it did not hear.

    python benchmarks/quality/speed.py --data FOLDER [--clips 1500] [--out src/xlsr/audio/speed.json]

FOLDER holds corpora with manifests (`FOLDER/NAME/manifest.jsonl`). Each clip is heard with its band and with that of an
8 kHz recording or a telephone; as it is, in single words, clipped, with noise or hum; at its own speed, at half and at
twice of it; cut to 2 to 10 seconds. Errors are counted with the speaker's fold (of Common Voice, the language's) left out
of the fit. `--test` names corpora that are never fitted on. Multinomial logistic regression by Newton's method.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from pathlib import Path

import numpy as np
import soxr

from xlsr.audio import SAMPLE_RATE
from xlsr.audio.speed import HEAD_SECONDS, speed_features
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.data.telephone import telephone
from xlsr.errors import XlsrError

SPEEDS = (0.5, 1.0, 2.0)


def versions(waveform: np.ndarray, draw: random.Random) -> list[tuple[float, np.ndarray]]:
    """(speed, samples at 16 kHz): what a clip sounds like with the right header and the wrong ones."""
    length = round(draw.uniform(2.0, HEAD_SECONDS) * SAMPLE_RATE)
    if draw.random() < 0.2:
        waveform = with_pauses(waveform, draw)
    waveform = waveform[:length]
    if draw.random() < 0.3:
        noise = np.random.default_rng(draw.getrandbits(32)).standard_normal(len(waveform)).astype(np.float32)
        waveform = waveform + noise * waveform.std() * 10 ** (-draw.uniform(5, 30) / 20)
    if draw.random() < 0.1:
        hum = np.sin(2 * np.pi * draw.choice([50, 60]) * np.arange(len(waveform)) / SAMPLE_RATE)
        waveform = waveform + hum.astype(np.float32) * waveform.std() * 10 ** (-draw.uniform(0, 20) / 20)
    if draw.random() < 0.15:
        peak = float(np.abs(waveform).max()) * draw.uniform(0.1, 0.6)
        waveform = np.clip(waveform, -peak, peak)
    narrow = soxr.resample(waveform, 16_000, 8_000)
    if draw.random() < 0.5:
        narrow = soxr.resample(telephone(waveform, draw.choice(["mulaw", "alaw"]), 64_000), 16_000, 8_000)
    again = soxr.resample(narrow, 8_000, 16_000)
    return [
        (1.0, waveform), (1.0, again), (2.0, narrow),
        (0.5, soxr.resample(waveform, 8_000, 16_000)), (0.5, soxr.resample(again, 8_000, 16_000)),
    ]  # fmt: skip


def with_pauses(waveform: np.ndarray, draw: random.Random) -> np.ndarray:
    """Speech in single words, as of those who dictate digits."""
    parts, at = [], 0
    while at < len(waveform):
        size = round(draw.uniform(0.3, 0.8) * SAMPLE_RATE)
        parts += [waveform[at : at + size], np.zeros(round(draw.uniform(0.02, 0.3) * SAMPLE_RATE), np.float32)]
        at += size
    return np.concatenate(parts)


def fold_of(corpus: str, utterance: Utterance) -> int:
    """Speakers stay in one fold, and languages of Common Voice."""
    who = utterance.language if corpus.startswith("common_voice") else utterance.speaker
    return zlib.crc32(f"{corpus} {who}".encode()) % 5


def fit(values: np.ndarray, classes: np.ndarray, ridge: float) -> tuple[np.ndarray, ...]:
    """Mean, scale, weights and bias of a multinomial logistic regression in which the classes count alike."""
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
    x = np.column_stack([(values - mean) / scale, np.ones(len(values))])
    num, size = x.shape
    wanted = np.eye(3)[classes]
    counted = (1 / wanted.mean(axis=0) / 3)[classes]
    penalty = np.full(size, ridge * num)
    penalty[-1] = 1e-6
    weights = np.zeros((size, 3))
    for _ in range(30):
        scores = x @ weights
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        gradient = x.T @ ((chances - wanted) * counted[:, None]) + penalty[:, None] * weights
        hessian = np.zeros((size * 3, size * 3))
        for a in range(3):
            for b in range(3):
                part = counted * chances[:, a] * ((a == b) - chances[:, b])
                block = (x * part[:, None]).T @ x + (np.diag(penalty) if a == b else 0)
                hessian[a * size : (a + 1) * size, b * size : (b + 1) * size] = block
        step = np.linalg.solve(hessian, gradient.T.ravel()).reshape(3, size).T
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return mean, scale, weights[:-1], weights[-1]


def chances_of(values: np.ndarray, fitted: tuple[np.ndarray, ...]) -> np.ndarray:
    mean, scale, weights, bias = fitted
    scores = (values - mean) / scale @ weights + bias
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def report(name: str, chances: np.ndarray, classes: np.ndarray) -> None:
    right = classes == 1
    alarm = chances[:, 1] < 0.8
    caught = (alarm & ((chances[:, 0] > chances[:, 2]) == (classes == 0)))[~right]
    print(f"{name}: {len(classes)} versions, {np.mean(chances.argmax(axis=1) == classes):.1%} told rightly; "
          f"right speed doubted {alarm[right].mean():.1%}, wrong speed caught {caught.mean():.1%}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", nargs="+", default=[
        "common_voice_sample", "common_voice_sample", "librispeech_train_clean_5", "speechocean762",
        "common_voice_persian", "arctic_kathleen",
    ])  # fmt: skip
    parser.add_argument(
        "--test", nargs="+", default=["librispeech_test_other_part", "telephone_simulated", "noisy_simulated"]
    )
    parser.add_argument("--clips", type=int, default=1500)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    draw = random.Random(0)
    lists = {
        name: list(read_manifest(arguments.data / name / "manifest.jsonl"))
        for name in {*arguments.fit, *arguments.test}
    }
    for name in sorted(lists):
        draw.shuffle(lists[name])
    share = arguments.clips // len(arguments.fit)
    chosen = [
        (name, one) for name in sorted(set(arguments.fit)) for one in lists[name][: share * arguments.fit.count(name)]
    ]
    chosen += [(name, one) for name in arguments.test for one in lists[name]]
    values, classes, corpora, folds = [], [], [], []
    for corpus, utterance in chosen:
        try:
            waveform = load_utterance(utterance)
        except XlsrError as error:
            print(error)
            continue
        for speed, heard in versions(waveform, draw):
            if (found := speed_features(heard)) is not None:
                values.append(found)
                classes.append(SPEEDS.index(speed))
                corpora.append(corpus)
                folds.append(fold_of(corpus, utterance))
    x, y, names, parts = np.array(values), np.array(classes), np.array(corpora), np.array(folds)
    fitted_on = ~np.isin(names, arguments.test)
    chances = np.zeros((len(x), 3))
    for fold in range(5):
        chances[fitted_on & (parts == fold)] = chances_of(
            x[fitted_on & (parts == fold)], fit(x[fitted_on & (parts != fold)], y[fitted_on & (parts != fold)], 1e-3)
        )
    final = fit(x[fitted_on], y[fitted_on], 1e-3)
    chances[~fitted_on] = chances_of(x[~fitted_on], final)
    for name in sorted(lists):
        report(name, chances[names == name], y[names == name])
    report("all that was fitted on", chances[fitted_on], y[fitted_on])
    if arguments.out:
        stored = dict(
            zip(("mean", "scale", "weights", "bias"), (part.round(4).tolist() for part in final), strict=True)
        )
        arguments.out.write_text(json.dumps(stored) + "\n", "utf-8")


if __name__ == "__main__":
    main()
