"""Word error rates of the shipped model, and of others beside it, on English that none of them learnt from.

    python benchmarks/quality/shipped.py DATA [--models default OTHER ...] [--threads 2]

DATA has a folder a corpus with `manifest.jsonl`. OTHER are model folders, such as the digits model and one of the same
size trained by CTC alone. Every set is heard twice: by the best path, and by the search and the language
model that the folder brings along. Prints WER and CER with 95 % intervals over speakers, as a table of Markdown, and how much
worse the noisy and the telephone copies are than the clean recordings that they were made from. Texts are compared in
lower case without punctuation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Literal

import xlsr
from xlsr.data.manifest import Utterance, read_manifest, write_manifest

SETS = (
    "librispeech_train_clean_5", "librispeech_test_other_part", "speechocean762", "fsdd", "noisy_simulated",
    "telephone_simulated", "long",
)  # fmt: skip
CLEAN = "librispeech_test_other_part"
COPIES = ("noisy_simulated", "telephone_simulated")  # rows name their `source`, an utterance of CLEAN


SEARCHES: dict[Literal["greedy", "auto"], str] = {"greedy": "best path", "auto": "its own"}


def originals(data: Path, copies: str) -> list[Utterance]:
    """The clean recordings that the rows of a set were made from."""
    lines = (data / copies / "manifest.jsonl").read_text("utf-8").splitlines()
    names = {Path(json.loads(line)["source"]).name for line in lines}
    found = [u for u in read_manifest(data / CLEAN / "manifest.jsonl", split="test") if u.audio.stem in names]
    assert len(found) == len(names), f"{copies}: {len(names)} sources, {len(found)} of them in {CLEAN}"
    return found


def sets(data: Path, folder: Path) -> dict[str, Path]:
    """Manifests to measure on, by name; those that are made here are written into a folder."""
    found: dict[str, Path] = {}
    for name in SETS:
        found[name] = folder / f"{name}.jsonl"
        write_manifest(read_manifest(data / name / "manifest.jsonl", split="test"), found[name])
        if name in COPIES:
            clean = folder / f"{name}-clean.jsonl"
            write_manifest(originals(data, name), clean)
            found = {f"{name}, clean": clean} | found
    return found


def measure(model: str, manifests: dict[str, Path], threads: int) -> None:
    """Print the table of one model."""
    print(f"\n{model}\n\n| set | utterances | search | WER | CER | against clean |\n|---|---|---|---|---|---|")
    for decoder, search in SEARCHES.items():
        recognizer = xlsr.load_model(model, threads=threads, decoder=decoder)
        rates: dict[str, float] = {}
        for name, manifest in manifests.items():
            total = xlsr.evaluate(recognizer, manifest, drop_punctuation=True).summary.total
            rates[name] = total.rates[0].value
            clean = rates.get(f"{name}, clean")
            cells = [name, str(total.utterances), search, *(str(rate) for rate in total.rates)]
            print(f"| {' | '.join(cells)} | {f'{rates[name] / clean:.2f} x' if clean else ''} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", nargs="+", default=["default"])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifests = sets(arguments.data, Path(folder))
        for model in arguments.models:
            measure(model, manifests, arguments.threads)


if __name__ == "__main__":
    main()
