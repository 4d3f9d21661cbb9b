"""The English that the shipped model learns from: lists of recordings and texts that may be used, made again from sources.

    python benchmarks/quality/english_data.py DATA OUT [--synthetic FOLDER ...]

DATA has a folder a corpus with `manifest.jsonl` (splits train, dev, test): LibriSpeech's train-clean-5 and the other
sets named below, all public domain, CC0 or CC BY. FOLDERs hold synthetic speech with manifests of the same form, all of
it to train on. Writes `OUT/train.jsonl`, `OUT/dev.jsonl` and `OUT/minutes-10.jsonl`, `OUT/minutes-60.jsonl` (real readers
only, drawn over all of them); recordings stay where they are. Says what was left out, and why.

Texts become lower case letters, apostrophes and spaces. Left out are: texts that hold anything else (digits), recordings
shorter than half a second or longer than 24, and every training sentence that a dev or test text of any set equals or
shares seven words in a row with. No speaker of a dev or test split may be in training.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from xlsr.data.manifest import Utterance, read_manifest, write_manifest
from xlsr.normalize import normalize_text

READERS = "librispeech_train_clean_5"
CORPORA = (READERS, "speechocean762", "arctic_kathleen", "vctk_rainbow", "common_voice_sample")
# Sets that measure; their sentences must not be learnt either. LJ Speech's reader is heard in `long`.
MEASURED = (*CORPORA, "librispeech_test_other_part", "long")
DEV_OF = (READERS, "speechocean762")
DEV_UTTERANCES = 100  # of each corpus, drawn
SHARED_WORDS = 7
SECONDS = (0.5, 24.0)
_WORDS = re.compile(r"[a-z']+( [a-z']+)*")


class HeldOut:
    """Sentences that dev and test sets are measured by."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = set(texts)
        self._runs = {run for text in self._texts for run in _runs(text)}

    def has(self, text: str) -> bool:
        """Whether a text is one of them, or shares seven words in a row with one."""
        return text in self._texts or any(run in self._runs for run in _runs(text))


def _runs(text: str) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + SHARED_WORDS]) for i in range(len(words) - SHARED_WORDS + 1)]


def read(folder: Path) -> list[Utterance]:
    """The English utterances of a corpus, with their texts as they are learnt."""
    return [
        replace(u, text=normalize_text(u.text, drop_punctuation=True), alignment=(), phones=None)
        for u in read_manifest(folder / "manifest.jsonl")
        if u.text and u.language == "eng"
    ]


def kept(utterances: Iterable[Utterance], held_out: HeldOut, dropped: Counter[str]) -> list[Utterance]:
    """The utterances that may be learnt from; counts why the others may not."""
    kept = []
    for utterance in utterances:
        text = utterance.text or ""
        if not SECONDS[0] <= utterance.duration <= SECONDS[1]:
            dropped[f"not between {SECONDS[0]:g} and {SECONDS[1]:g} s"] += 1
        elif not _WORDS.fullmatch(text):
            dropped["not of letters alone"] += 1
        elif held_out.has(text):
            dropped["a sentence of a dev or test set"] += 1
        else:
            kept.append(utterance)
    return kept


def part(utterances: list[Utterance], seconds: float) -> list[Utterance]:
    """So many seconds, drawn over all speakers in turn."""
    order = np.random.default_rng(0).permutation(len(utterances))
    ends = np.cumsum([utterances[i].duration for i in order])
    return [utterances[i] for i in order[: int(np.searchsorted(ends, seconds))]]


def describe(name: str, utterances: list[Utterance]) -> None:
    """Print what a list comes to."""
    hours, speakers = sum(u.duration for u in utterances) / 3600, len({u.speaker for u in utterances})
    print(f"{name:28} {len(utterances):6} utterances {speakers:5} speakers {hours:6.2f} h")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--synthetic", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    corpora = {name: read(arguments.data / name) for name in MEASURED}
    held_out = HeldOut(u.text or "" for utterances in corpora.values() for u in utterances if u.split != "train")
    dropped: Counter[str] = Counter()
    train: list[Utterance] = []
    for folder in [*(arguments.data / name for name in CORPORA), *arguments.synthetic]:
        found = kept((u for u in read(folder) if u.split == "train"), held_out, dropped)
        train += found
        describe(folder.name, found)
    dev: list[Utterance] = []
    for name in DEV_OF:
        speakers = {u.speaker for u in corpora[name] if u.split == "train"}
        held = [u for u in corpora[name] if u.split == "dev"]
        assert not speakers & {u.speaker for u in held}, f"{name}: a speaker of dev is in train"
        order = np.random.default_rng(0).permutation(len(held))[:DEV_UTTERANCES]
        dev += [held[i] for i in sorted(order)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    readers = [u for u in train if u.audio.is_relative_to(arguments.data / READERS)]
    lists = {"train": train, "dev": dev, "minutes-10": part(readers, 600), "minutes-60": part(readers, 3600)}
    for name, utterances in lists.items():
        write_manifest(utterances, arguments.out / f"{name}.jsonl")
        describe(f"{name}.jsonl", utterances)
    for reason, count in dropped.items():
        print(f"{count} left out: {reason}")


if __name__ == "__main__":
    main()
