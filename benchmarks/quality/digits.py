"""Word error rates of the digits model on speakers that it never heard, by both engines.

    python benchmarks/quality/digits.py --data FOLDER [--model default] [--split test]

FOLDER is what `digits_data.py` wrote. Prints WER and CER for single digits and for strings, the errors of each speaker,
and whether both engines gave the same text for every recording. Needs the extra `torch` for the second engine.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import xlsr
from xlsr.data.manifest import Utterance, read_manifest
from xlsr.metrics import word_errors


def transcribe(model: xlsr.Recognizer, utterances: list[Utterance]) -> list[str]:
    """The text of every recording; a failure is an empty text, and counts as errors."""
    results = model.transcribe_many((u.audio for u in utterances), timestamps="none")
    return [result.text if isinstance(result, xlsr.Transcript) else "" for result in results]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    engines = {name: xlsr.load_model(arguments.model, engine=name) for name in ("openvino", "torch")}
    for kind in ("single", "strings"):
        utterances = read_manifest(arguments.data / f"{arguments.split}-{kind}.jsonl")
        references = [u.text or "" for u in utterances]
        texts = {name: transcribe(model, utterances) for name, model in engines.items()}
        different = sum(a != b for a, b in zip(texts["openvino"], texts["torch"], strict=True))
        found = texts["openvino"]
        print(f"{arguments.split}-{kind}: {len(found)} recordings, WER {xlsr.wer(references, found):.2%}, "
              f"CER {xlsr.cer(references, found):.2%}; the engines differ on {different}")  # fmt: skip
        speakers = defaultdict(list)
        for utterance, reference, text in zip(utterances, references, found, strict=True):
            speakers[utterance.speaker].append(word_errors(reference, text))
        for speaker, counts in sorted(speakers.items(), key=lambda item: str(item[0])):
            total = sum(counts[1:], counts[0])
            print(f"  {speaker}: WER {total.rate:.2%} ({total.substitutions} substituted, {total.deletions} deleted, "
                  f"{total.insertions} inserted of {total.length})")  # fmt: skip


if __name__ == "__main__":
    main()
