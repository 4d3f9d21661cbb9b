"""Make the spoken-digits set: strings of one to seven digits to train on, single digits and strings to test on.

    python benchmarks/quality/digits_data.py --fsdd FOLDER --synthetic FOLDER --noise FOLDER --out FOLDER --hours 4

Reads folders with a `manifest.jsonl` (`audio`, `text`, `speaker`, `split`, `sample_rate`; clips may lie in zips):
the Free Spoken Digit Dataset (8 kHz, CC BY-SA 4.0), digits of synthetic voices (16 kHz; alone and in fluent strings),
and noises and room responses (`kind` noise|rir), of which only `train` rows are used. Both of the last are optional.

Writes 16 kHz FLAC and `train.jsonl`, `dev-single.jsonl`, `test-single.jsonl`, `dev-strings.jsonl` and
`test-strings.jsonl`. Speakers do not cross splits; babble is mixed from training clips only. Training strings are
augmented (voice, tempo, colour, room, noise, level, band); the single digits of dev and test are the recordings as
they are, resampled, and their strings have pauses of 0.1 to 0.4 s filled with hiss 40 dB below the speech.
The same seed and folders give the same samples whatever the number of workers.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Row = dict[str, str | float]
Item = TypeVar("Item")

RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Chances of one to seven digits.
LENGTH_WEIGHTS = (0.30, 0.14, 0.14, 0.12, 0.10, 0.10, 0.10)
EVALUATION_STRINGS = 200
# Strings are drawn in this many independent streams, so that the number of workers does not change them.
STREAMS = 8
# A digit of five letters needs six CTC frames of 20 ms; a quarter of a second leaves room.
SHORTEST_SECONDS = 0.25


@dataclass(frozen=True)
class Clip:
    """One recording of one or more digits by one speaker, at 16 kHz."""

    words: tuple[str, ...]
    samples: Samples
    narrow: bool


@dataclass(frozen=True)
class Speaker:
    """What one speaker says: clips of each digit, and fluent strings where there are any."""

    name: str
    digits: dict[str, list[Clip]]
    strings: list[Clip]

    def draw(self, words: int, rng: np.random.Generator) -> Clip:
        """Draw a clip of at most so many words: three in ten a fluent string, else any digit equally often."""
        fluent = [clip for clip in self.strings if len(clip.words) <= words]
        if fluent and rng.random() < 0.3:
            return pick(fluent, rng)
        return pick(self.digits[pick(sorted(self.digits), rng)], rng)


@dataclass(frozen=True)
class Corpus:
    """All that training strings are drawn from; room responses begin just before the direct sound."""

    recorded: list[Speaker]
    synthetic: list[Speaker]
    noises: list[Samples]
    rooms: list[Samples]


def pick(items: Sequence[Item], rng: np.random.Generator) -> Item:
    """Draw one of the items."""
    return items[int(rng.integers(len(items)))]


def read_rows(folder: Path, split: str) -> Iterator[tuple[dict[str, str], Samples]]:
    """Yield the manifest's rows of a split with their samples at 16 kHz."""
    archives: dict[Path, zipfile.ZipFile] = {}
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["split"] != split:
            continue
        path = folder / row["audio"]
        source: Path | io.BytesIO = path
        if not path.exists():
            archive = path.parent.with_suffix(".zip")
            archives[archive] = archives.get(archive) or zipfile.ZipFile(archive)
            source = io.BytesIO(archives[archive].read(path.name))
        samples, rate = sf.read(source, dtype="float32")
        yield row, resample(samples, rate, RATE)


def resample(samples: Samples, rate: float, to: float) -> Samples:
    """Resample; the result is float32 and contiguous."""
    return np.ascontiguousarray(soxr.resample(samples, rate, to), dtype=np.float32)


def read_speakers(folder: Path, split: str) -> list[Speaker]:
    """Read the speakers of a split, sorted by name; whoever says no digit alone is refused."""
    speakers: dict[str, Speaker] = {}
    for row, samples in read_rows(folder, split):
        words = tuple(row["text"].split())
        if unknown := set(words) - set(DIGITS):
            raise ValueError(f"{folder}/manifest.jsonl: {sorted(unknown)} in {row['audio']} are not digits")
        speaker = speakers.setdefault(row["speaker"], Speaker(row["speaker"], {}, []))
        clip = Clip(words, samples, narrow=int(row["sample_rate"]) < RATE)
        (speaker.strings if len(words) > 1 else speaker.digits.setdefault(words[0], [])).append(clip)
    if silent := [name for name, speaker in speakers.items() if not speaker.digits]:
        raise ValueError(f"{folder}/manifest.jsonl: {silent} say no digit alone: give each a clip of one word")
    return [speakers[name] for name in sorted(speakers)]


def read_corpus(options: argparse.Namespace) -> Corpus:
    """Read the training splits of the folders named on the command line."""
    recorded = read_speakers(options.fsdd, "train")
    synthetic = read_speakers(options.synthetic, "train") if options.synthetic else []
    corpus = Corpus(recorded, synthetic, noises=[], rooms=[])
    for row, samples in read_rows(options.noise, "train") if options.noise else ():
        if row["kind"] == "noise":
            corpus.noises.append(samples)
        else:
            start = max(0, int(np.argmax(np.abs(samples))) - 32)
            corpus.rooms.append(samples[start : start + RATE])
    return corpus


def trim_silence(samples: Samples, below_db: float, hop: int = 80) -> Samples:
    """Cut both ends off up to the first and last 5 ms within `below_db` of the loudest."""
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    power = (frames**2).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-below_db / 10))
    return samples[loud[0] * hop : (loud[-1] + 1) * hop]


def stretch(samples: Samples, factor: float, frame: int = 480, search: int = 160) -> Samples:
    """Make samples `factor` times as long at the same pitch (WSOLA, Verhelst and Roelands 1993)."""
    hop, length = frame // 2, round(len(samples) * factor)
    padded = np.pad(samples, (search, 2 * (frame + search)))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    output, weight = np.zeros(length + 2 * frame), np.full(length + 2 * frame, 1e-3)
    follow = search
    for start in range(0, length, hop):
        begin = min(int(start / factor), len(samples))
        near = padded[begin : begin + frame + 2 * search]
        # Where the input goes on most like the sound that would follow the last frame; 10 ms covers a pitch of 100 Hz.
        best = begin + int(np.argmax(np.correlate(near, padded[follow : follow + frame], "valid"))) if start else search
        output[start : start + frame] += padded[best : best + frame] * window
        weight[start : start + frame] += window
        follow = best + hop
    return np.asarray((output / weight)[:length], np.float32)


def alter_voice(samples: Samples, shift: float, tempo: float, keep_tempo: bool) -> Samples:
    """Shift pitch and formants by resampling; unless `keep_tempo` is False, give the clip its own tempo after that."""
    length = len(samples)
    if shift != 1:
        samples = resample(samples, round(RATE * shift), RATE)
    factor = length / tempo / len(samples)
    return stretch(samples, factor) if keep_tempo and abs(factor - 1) > 0.02 else samples


def speech_power(samples: Samples, hop: int = 320) -> float:
    """Mean power of the 20 ms frames within 25 dB of the loudest: speech without its pauses."""
    frames = np.resize(samples, (max(1, len(samples) // hop), hop))
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    return float(power[power >= power.max() * 10**-2.5].mean())


def draw_clips(speaker: Speaker, rng: np.random.Generator) -> list[Clip]:
    """Draw clips of one speaker that together have one to seven words."""
    missing = int(rng.choice(len(LENGTH_WEIGHTS), p=LENGTH_WEIGHTS)) + 1
    clips: list[Clip] = []
    while missing > 0:
        clips.append(speaker.draw(missing, rng))
        missing -= len(clips[-1].words)
    return clips


def say(clips: Sequence[Clip], rng: np.random.Generator) -> Samples:
    """Join clips in one altered voice, each word with its own tempo and level, with pauses that are still zeros."""
    # 0.8 to 1.3 reaches from a man with a long vocal tract to a child; one string in five keeps the voice.
    shift = 1.0 if rng.random() < 0.2 else float(np.exp(rng.uniform(np.log(0.8), np.log(1.3))))
    keep_tempo, trimmed = rng.random() < 0.6, rng.random() < 0.5
    pieces = [draw_silence(rng, 0.05, 0.5)]
    for clip in clips:
        samples = trim_silence(clip.samples, rng.uniform(28, 40)) if trimmed else clip.samples
        samples = alter_voice(samples, shift * rng.uniform(0.98, 1.02), rng.uniform(0.8, 1.25), keep_tempo)
        pieces += [samples * np.float32(10 ** rng.uniform(-0.2, 0.2)), draw_silence(rng, 0.0, 0.6)]
    pieces[-1] = draw_silence(rng, 0.05, 0.5)
    joined = np.concatenate(pieces)
    missing = max(0, round(SHORTEST_SECONDS * RATE) - len(joined))
    return np.pad(joined, (missing // 2, missing - missing // 2))


def draw_silence(rng: np.random.Generator, least: float, most: float) -> Samples:
    """Draw a silence between `least` and `most` seconds; three in ten are none at all, as in clips cut tight."""
    return np.zeros(0 if rng.random() < 0.3 else round(rng.uniform(least, most) * RATE), np.float32)


def equalise(samples: Samples, rng: np.random.Generator) -> Samples:
    """Colour with a random tilt (3 dB an octave at most) and 3 dB of bumps an octave apart."""
    octaves = np.linspace(-4, 3, 8)
    gains_db = np.clip(octaves * rng.uniform(-3, 3) + rng.normal(0, 3, len(octaves)), -15, 15)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    curve_db = np.interp(np.log2(np.maximum(frequencies, 1) / 1000), octaves, gains_db)
    return np.fft.irfft(np.fft.rfft(samples) * 10 ** (curve_db / 20), len(samples)).astype(np.float32)


def reverberate(samples: Samples, rooms: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """Place the string in a given room or, half the time, one of decaying noise (RT60 0.1 to 0.7 s)."""
    if rooms and rng.random() < 0.5:
        room = pick(rooms, rng)
    else:
        times = np.arange(round(0.5 * RATE)) / RATE
        tail = rng.standard_normal(len(times)) * np.exp(-6.9 * times / rng.uniform(0.1, 0.7))
        room = (tail * rng.uniform(0.02, 0.08)).astype(np.float32)
        room[0] = 1
    size = len(samples) + len(room)
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room, size), size)[: len(samples)].astype(np.float32)
    wet *= np.sqrt(speech_power(samples) / max(speech_power(wet), 1e-12))
    share = rng.uniform(0.3, 1)
    return ((1 - share) * samples + share * wet).astype(np.float32)


def coloured_noise(length: int, exponent: float, rng: np.random.Generator) -> Samples:
    """Return noise whose power falls with frequency to the exponent: 0 white, 1 pink."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** (exponent / 2)
    return np.fft.irfft(spectrum, length).astype(np.float32)


def babble(length: int, speakers: Sequence[Speaker], rng: np.random.Generator) -> Samples:
    """Return five to nine voices at once, each of them digit after digit without a pause."""
    total = np.zeros(length, np.float32)
    for _ in range(rng.integers(5, 10)):
        speaker, voice = pick(speakers, rng), np.zeros(0, np.float32)
        while len(voice) < length + RATE:
            clip = speaker.draw(1, rng).samples
            voice = np.concatenate([voice, clip / np.sqrt(speech_power(clip))])
        total += np.roll(voice, int(rng.integers(RATE)))[:length] * np.float32(rng.uniform(0.3, 1))
    return total


def draw_noise(length: int, corpus: Corpus, rng: np.random.Generator) -> Samples:
    """Draw a noise of a kind: half of them from files where there are any, else white to brown, or babble."""
    if corpus.noises and rng.random() < 0.5:
        noise = pick(corpus.noises, rng)
        return np.take(noise, (np.arange(length) + rng.integers(len(noise))) % len(noise))
    if rng.random() < 0.3:
        return babble(length, corpus.recorded + corpus.synthetic, rng)
    return coloured_noise(length, pick((0.0, 1.0, float(rng.uniform(0, 2))), rng), rng)


def add_noise(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """Add noise so many decibels below the speech; silent noise adds nothing."""
    power = float((noise.astype(np.float64) ** 2).mean())
    gain = np.sqrt(speech_power(samples) / max(power, 1e-12)) * 10 ** (-snr_db / 20)
    return samples + noise * np.float32(gain)


def limit_band(samples: Samples, rng: np.random.Generator) -> Samples:
    """Send through 8 kHz; three in ten through a telephone as well: 300 to 3400 Hz and mu-law."""
    low = resample(samples, RATE, RATE // 2)
    if rng.random() < 0.3:
        frequencies = np.fft.rfftfreq(len(low), 2 / RATE)
        passed = 1 / (1 + (250 / np.maximum(frequencies, 1)) ** 8) / (1 + (frequencies / 3500) ** 16)
        filtered = np.fft.irfft(np.fft.rfft(low) * passed, len(low))
        scaled = filtered / max(float(np.abs(filtered).max()), 1e-6)
        codes = np.round(np.log1p(255 * np.abs(scaled)) / np.log(256) * 127) / 127
        low = (np.sign(scaled) * np.expm1(codes * np.log(256)) / 255).astype(np.float32)
    high = resample(low, RATE // 2, RATE)[: len(samples)]
    return np.pad(high, (0, len(samples) - len(high)))


def set_level(samples: Samples, rng: np.random.Generator) -> Samples:
    """Set the peak to -30 to -1 dB; one in twelve is driven into clipping first."""
    samples = samples / max(float(np.abs(samples).max()), 1e-6)
    if rng.random() < 1 / 12:
        samples = np.clip(samples * rng.uniform(1.2, 3), -1, 1)
    return samples * np.float32(10 ** (rng.uniform(-30, -1) / 20))


def augment(samples: Samples, narrow: bool, corpus: Corpus, rng: np.random.Generator) -> Samples:
    """Put a joined string into a random room, noise, band and level; `narrow` recordings stay within 4 kHz."""
    if rng.random() < 0.7:
        samples = equalise(samples, rng)
    if rng.random() < 0.25:
        samples = reverberate(samples, corpus.rooms, rng)
    limited, early = narrow or rng.random() < 0.5, rng.random() < 0.3
    if limited and early:  # the noise of a listener's own room is wide even where the speech is not
        samples = limit_band(samples, rng)
    if rng.random() < 0.6:
        samples = add_noise(samples, draw_noise(len(samples), corpus, rng), rng.uniform(5, 30))
    if rng.random() < 0.9:  # one in ten keeps pauses of digital silence
        samples = add_noise(samples, coloured_noise(len(samples), rng.uniform(0, 1), rng), rng.uniform(35, 75))
    if limited and not early:
        samples = limit_band(samples, rng)
    return set_level(samples, rng)


def write_clip(out: Path, name: str, samples: Samples, words: Sequence[str], speaker: str) -> Row:
    """Write `NAME.flac` and return its manifest row; the split is the name's first part."""
    path = out / f"{name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples, RATE, subtype="PCM_16")
    return {
        "audio": f"{name}.flac",
        "text": " ".join(words),
        "duration": round(len(samples) / RATE, 4),
        "speaker": speaker,
        "split": name.partition("-")[0].partition("/")[0],
        "language": "eng",
    }


def write_manifest(path: Path, rows: Sequence[Row]) -> None:
    """Write rows and print what they come to."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    hours = sum(float(row["duration"]) for row in rows) / 3600
    print(f"{path.name}: {len(rows)} rows, {len({row['speaker'] for row in rows})} speakers, {hours:.2f} h", flush=True)


def write_train_stream(stream: int, options: argparse.Namespace) -> list[Row]:
    """Write one stream of training strings, recorded and synthetic voices in turn, until it has its share of hours."""
    corpus = read_corpus(options)
    rows: list[Row] = []
    seconds = 0.0
    while seconds < options.hours * 3600 / STREAMS:
        rng = np.random.default_rng([options.seed, stream, len(rows)])
        speaker = pick(corpus.synthetic if len(rows) % 2 and corpus.synthetic else corpus.recorded, rng)
        clips = draw_clips(speaker, rng)
        samples = augment(say(clips, rng), clips[0].narrow, corpus, rng)
        words = [word for clip in clips for word in clip.words]
        rows.append(write_clip(options.out, f"train/{stream}/{len(rows):05d}", samples, words, speaker.name))
        seconds += len(samples) / RATE
    return rows


def write_evaluation(split: str, options: argparse.Namespace) -> None:
    """Write the single digits of a split as they are, and its strings, speakers in turn."""
    out, speakers = options.out, read_speakers(options.fsdd, split)
    singles = [
        write_clip(out, f"{split}-single/{speaker.name}-{word}-{take:02d}", clip.samples, [word], speaker.name)
        for speaker in speakers
        for word in sorted(speaker.digits)
        for take, clip in enumerate(speaker.digits[word])
    ]
    write_manifest(out / f"{split}-single.jsonl", singles)
    strings: list[Row] = []
    for index in range(EVALUATION_STRINGS):
        rng = np.random.default_rng([options.seed, {"dev": 1000, "test": 2000}[split], index])
        speaker = speakers[index % len(speakers)]
        clips = [speaker.draw(1, rng) for _ in range(rng.integers(1, 8))]
        pauses = [np.zeros(round(rng.uniform(0.1, 0.4) * RATE), np.float32) for _ in range(len(clips) + 1)]
        voiced = [piece for clip, pause in zip(clips, pauses[1:], strict=True) for piece in (clip.samples, pause)]
        joined = np.concatenate([pauses[0], *voiced])
        hiss = resample(coloured_noise(len(joined), 0, rng), RATE // 2, RATE)  # within 4 kHz, as the recordings
        samples = add_noise(joined, hiss[: len(joined)], 40)
        words = [clip.words[0] for clip in clips]
        strings.append(write_clip(out, f"{split}-strings/{index:03d}", samples, words, speaker.name))
    write_manifest(out / f"{split}-strings.jsonl", strings)


def main() -> None:
    """Make all five sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fsdd", type=Path, required=True, help="Free Spoken Digit Dataset with a manifest")
    parser.add_argument("--synthetic", type=Path, help="digits of synthetic voices; without: recorded voices only")
    parser.add_argument("--noise", type=Path, help="noises and room responses; without: generated ones only")
    parser.add_argument("--out", type=Path, required=True, help="folder to make; refused where it holds a train.jsonl")
    parser.add_argument("--hours", type=float, default=4.0, help="of training strings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if (options.out / "train.jsonl").exists():
        parser.error(f"{options.out} holds a digits set already: name another folder")
    for split in ("dev", "test"):
        write_evaluation(split, options)
    with ProcessPoolExecutor(options.workers) as pool:
        streams = list(pool.map(partial(write_train_stream, options=options), range(STREAMS)))
    write_manifest(options.out / "train.jsonl", [row for stream in streams for row in stream])


if __name__ == "__main__":
    main()
