"""Beam search with a lexicon and an n-gram model: ours against flashlight-text, which torchaudio's `ctc_decoder` is.

    python benchmarks/beam.py TEXT [--words 5000] [--order 3] [--frames 1000] [--beam_size 100] [--rounds 9]

TEXT (plain or gzipped, a sentence a line) gives the language model of its commonest words, the lexicon, and the speech:
sentences of its end, which the model has not seen, as log-probabilities over 32 symbols, peaked as those of wav2vec 2.0,
with errors. Both read the same ARPA file, run in turn in one process, and must find words: their error rates stand
beside the times. Ours include the times of the words.
"""

from __future__ import annotations

import argparse
import gzip
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flashlight.lib.text.decoder import CriterionType, LexiconDecoder, LexiconDecoderOptions, SmearingMode, Trie
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from xlsr.decoding.beam import BeamSearchDecoder
from xlsr.decoding.hypothesis import words_of
from xlsr.decoding.lexicon import Lexicon
from xlsr.decoding.ngram import NGram
from xlsr.decoding.ngram.build import build_lm
from xlsr.decoding.options import BeamOptions
from xlsr.metrics import wer
from xlsr.normalize import normalize_text
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", *"'abcdefghijklmnopqrstuvwxyz"])
LM_WEIGHT, WORD_SCORE = 0.7, 0.5


def lines_of(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().lower().splitlines()


def model_of(lines: list[str], words: int, order: int, folder: Path) -> Path:
    """An ARPA file of sentences."""
    (folder / "text.txt").write_text("\n".join(lines))
    build_lm([folder / "text.txt"], folder / "lm.arpa", order=order, vocab_size=words, prune=(0, 0, 1))
    return folder / "lm.arpa"


def speech(text: str, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Log-probabilities of a text with 3.5 frames a letter, of which one in eight sounds like another one."""
    ids = TOKENIZER.encode(text)[: int(frames / 3.5)]
    logits = rng.normal(0.0, 1.5, (frames, TOKENIZER.size))
    logits[:, 0] += 5.0
    places = np.sort(rng.choice(frames // 2, len(ids), replace=False)) * 2
    for frame, id in zip(places, ids, strict=True):
        sure = rng.random() > 0.125
        logits[frame, [id, rng.integers(4, TOKENIZER.size)]] += (10.0, 5.0) if sure else (7.0, 9.0)
    logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return np.ascontiguousarray(logits, np.float32), TOKENIZER.decode(ids, group=False)


def flashlight(arpa: Path, lexicon: Lexicon, beam_size: int, *, log_add: bool) -> Callable[[np.ndarray], str]:
    names = Dictionary()
    for word in lexicon.words:
        names.add_entry(word)
    lm = KenLM(str(arpa), names)
    trie, start = Trie(TOKENIZER.size, TOKENIZER.vocab["|"]), lm.start(False)
    for index, word in enumerate(lexicon.words):
        for spelling in lexicon.spellings_of(word):
            trie.insert([*spelling, TOKENIZER.vocab["|"]], index, lm.score(start, index)[1])
    trie.smear(SmearingMode.MAX)
    options = LexiconDecoderOptions(
        beam_size=beam_size, beam_size_token=TOKENIZER.size, beam_threshold=50.0, lm_weight=LM_WEIGHT * math.log(10),
        word_score=WORD_SCORE, unk_score=-math.inf, sil_score=0.0, log_add=log_add, criterion_type=CriterionType.CTC,
    )  # fmt: skip
    decoder = LexiconDecoder(options, trie, lm, TOKENIZER.vocab["|"], 0, names.index_size(), [], False)

    def decode(log_probs: np.ndarray) -> str:
        best = decoder.decode(log_probs.ctypes.data, *log_probs.shape)[0]
        return " ".join(names.get_entry(word) for word in best.words if word >= 0)

    return decode


def ours(lm: NGram, lexicon: Lexicon | None, beam_size: int, *, log_add: bool) -> Callable[[np.ndarray], str]:
    options = BeamOptions(
        lexicon=lexicon, lm=lm, beam_size=beam_size, lm_weight=LM_WEIGHT, word_score=WORD_SCORE, log_add=log_add
    )
    decoder = BeamSearchDecoder(TOKENIZER, options)
    return lambda log_probs: " ".join(word.text for word in words_of(decoder.decode(log_probs)[0], TOKENIZER))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--words", type=int, default=5000)
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--beam_size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    lines, rng = lines_of(arguments.text), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        arpa = model_of(lines[:-2000], arguments.words, arguments.order, Path(folder))
        lm = NGram.load(arpa)
        lexicon = Lexicon.from_words([word for word in lm.words if "<" not in word], TOKENIZER, skip=True)
        known = [
            line
            for line in (normalize_text(line, lowercase=True, drop_punctuation=True) for line in lines[-2000:])
            if line and all(w in lexicon for w in line.split())
        ]
        cases = [speech(" ".join(rng.permutation(known)), arguments.frames, rng) for _ in range(3)]
        systems = {}
        for log_add, kind in ((False, "best path"), (True, "paths added up")):
            systems[f"flashlight, {kind}"] = flashlight(arpa, lexicon, arguments.beam_size, log_add=log_add)
            systems[f"xlsr, {kind}"] = ours(lm, lexicon, arguments.beam_size, log_add=log_add)
    systems["xlsr, paths added up, any word"] = ours(lm, None, arguments.beam_size, log_add=True)
    errors = {name: [wer(text, decode(values)) for values, text in cases] for name, decode in systems.items()}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(arguments.rounds):
        for name, decode in systems.items():
            for values, _ in cases:
                started = time.process_time()
                decode(values)
                seconds[name].append(time.process_time() - started)
    print(
        f"{arguments.frames} frames x {TOKENIZER.size} symbols, {len(lexicon.words)} words, order {lm.order}, "
        f"beam {arguments.beam_size}; processor time, median of {arguments.rounds * len(cases)} in turn"
    )
    for name in systems:
        median = statistics.median(seconds[name])
        rival = statistics.median(seconds[name.replace("xlsr", "flashlight").replace(", any word", "")])
        print(f"{name:<31} {1e3 * median:7.1f} ms  {median / rival:5.2f} x  WER {100 * np.mean(errors[name]):5.1f} %")


if __name__ == "__main__":
    main()
