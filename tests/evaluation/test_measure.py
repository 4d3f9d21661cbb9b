"""An evaluation counts what a model said against what the manifest says, and leaves nothing out in silence."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile

import xlsr
from tests.test_cli import run
from xlsr.checkpoint.folder import Description
from xlsr.config import Wav2Vec2Config
from xlsr.data.manifest import read_manifest
from xlsr.errors import ConfigError, ManifestError, MissingDependencyError, XlsrError
from xlsr.recognizer import Recognizer
from xlsr.tokenizer import Tokenizer

LETTERS = Tokenizer.from_symbols(["<pad>", "|", "'", *"abcdefghijklmnopqrstuvwxyz"])
PHONES = Tokenizer.from_symbols(["<pad>", "t͡ʃ", "iː", "ɪ", "z"], is_phones=True)


class Parrot:
    """An engine that says the text of its list whose number the length of the recording tells."""

    name = "parrot"

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        self.tokenizer, self.texts = tokenizer, texts

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._say(self.texts[len(waveform) // 1600 - 10], len(waveform) // 320) for waveform in waveforms]

    def _say(self, text: str, frames: int) -> np.ndarray:
        rows = np.full((frames, self.tokenizer.size), -20.0, np.float32)
        rows[:, self.tokenizer.blank_id] = -0.1
        symbols = text.split() if self.tokenizer.is_phones else text.replace(" ", "|")
        for place, symbol in enumerate(symbols):
            rows[2 * place, self.tokenizer.vocab[symbol]] = -0.05
        return rows


def parrot(*texts: str, tokenizer: Tokenizer = LETTERS, name: str = "parrot") -> Recognizer:
    config = Wav2Vec2Config.from_dict({"vocab_size": tokenizer.size})
    return Recognizer(Parrot(tokenizer, texts), Description(config, tokenizer, extras={"name": name}))


def manifest_of(folder: Path, *rows: dict[str, object]) -> Path:
    """A manifest and its recordings: row number n lasts 1 + n / 10 seconds."""
    lines = []
    for number, row in enumerate(rows):
        samples = np.random.default_rng(number).normal(0, 0.1, 16_000 + 1600 * number)
        soundfile.write(folder / f"{number}.wav", samples, 16_000)
        lines.append(json.dumps({"audio": f"{number}.wav", "duration": len(samples) / 16_000} | row))
    path = folder / "list.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_rates_are_those_of_the_texts(tmp_path) -> None:
    manifest = manifest_of(
        tmp_path,
        {"text": "Don't  stop", "speaker": "ann", "language": "eng", "domain": "telephone"},
        {"text": "go home.", "speaker": "bob", "language": "deu"},
        {"text": "", "speaker": "bob", "language": "deu"},
    )
    model = parrot("don't stop", "go hame", "um")
    found = xlsr.evaluate(model, manifest, by=("language", "speaker", "domain"))
    assert [(item.reference, item.hypothesis) for item in found.utterances] == [
        ("don't stop", "don't stop"), ("go home.", "go hame"), ("", "um"),
    ]  # fmt: skip
    assert found.summary.rate("WER").value == 2 / 4
    assert [item.duration for item in found.utterances] == [1.0, 1.1, 1.2]
    assert {part.name: part.rates[0].value for part in found.summary.parts["language"]} == {"deu": 1.0, "eng": 0.0}
    assert set(found.summary.parts) == {"language", "speaker", "domain"}
    assert [part.name for part in found.summary.parts["domain"]] == ["telephone", "unknown"]
    assert 0 < found.utterances[0].score <= 1
    assert found.failures == ()
    bare = xlsr.evaluate(model, manifest, drop_punctuation=True, lowercase=False)
    assert [item.reference for item in bare.utterances] == ["Don't stop", "go home", ""]
    assert bare.normalization == "NFC, single spaces, case kept, punctuation dropped"


def test_a_phone_model_is_held_against_phones(tmp_path) -> None:
    manifest = manifest_of(tmp_path, {"text": "cheese", "phones": "t͡ʃ iː z"}, {"text": "is", "phones": "ɪ z"})
    found = xlsr.evaluate(parrot("t͡ʃ ɪ z", "ɪ z", tokenizer=PHONES), manifest)
    assert [rate.name for rate in found.summary.total.rates] == ["PER", "PFER"]
    assert found.summary.rate("PER").value == 1 / 5
    assert found.summary.rate("PFER").value == pytest.approx(2 / 24 / 5)  # iː and ɪ differ in tense and long
    assert [(word.text, word.right) for word in found.utterances[0].words] == [("t͡ʃ", True), ("ɪ", False), ("z", True)]
    assert found.confidence.words == 5
    assert found.normalization == "NFC, single spaces, case kept, punctuation kept"
    assert found.table().columns == ("model", "utterances", "hours", "phones", "PER", "PFER", "real-time factor")


def test_phone_models_are_compared_by_both_rates_everywhere(tmp_path) -> None:
    rows = ({"phones": "t͡ʃ iː z", "speaker": f"s{i}", "language": "ab"[i % 2]} for i in range(4))
    manifest = manifest_of(tmp_path, *rows)
    models = [
        parrot(*[text] * 4, tokenizer=PHONES, name=name) for name, text in (("far", "z iː z"), ("near", "t͡ʃ ɪ z"))
    ]
    found = xlsr.evaluate(models[0], manifest, compare=models[1], report=tmp_path / "out.html")
    assert list(found.differences) == ["PER", "PFER"]
    assert found.differences["PER"].difference == 0
    assert found.differences["PFER"].difference < 0
    fields = json.loads(found.to_json())
    assert fields["differences"]["PFER"]["second"] == pytest.approx(2 / 24 / 3)
    assert fields["summary"]["parts"]["language"][0]["rates"]["PFER"]["units"] == 2
    html = (tmp_path / "out.html").read_text("utf-8")
    assert all(part in html for part in ("PER", "PFER", "2.8%"))
    assert "PFER" in found.to_text()


def test_what_cannot_be_scored_is_named_and_the_rest_goes_on(tmp_path) -> None:
    manifest = manifest_of(
        tmp_path,
        {"text": "a"},
        {"text": None},
        {"text": "b", "audio": "gone.wav"},
        {"text": "c", "offset": 9.0},
        {"text": "d"},
    )
    found = xlsr.evaluate(parrot("a", "x", "x", "x", "d"), manifest, batch_seconds=1.0)
    assert [item.hypothesis for item in found.utterances] == ["a", "d"]
    assert [failure.audio.rpartition("/")[2] for failure in found.failures] == ["1.wav", "gone.wav", "3.wav at 9 s"]
    for failure, why in zip(found.failures, ("has no text", "not there", "a segment of"), strict=True):
        assert why in failure.error
        assert failure.audio.partition(" at ")[0] in failure.error


def test_a_recording_without_signal_is_called_by_its_name(tmp_path) -> None:
    manifest = manifest_of(tmp_path, {"text": "a"}, {"text": "b"})
    soundfile.write(tmp_path / "1.wav", np.full(17_600, np.nan, np.float32), 16_000, subtype="FLOAT")
    found = xlsr.evaluate(parrot("a", "b"), manifest)
    assert str(tmp_path / "1.wav") in found.failures[0].error


def test_members_of_archives_and_parts_of_recordings_are_found(tmp_path, repository) -> None:
    digits = repository / "examples" / "digits.wav"
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.write(digits, "a.wav")
    text = digits.with_suffix(".txt").read_text().strip()
    rows = [
        {"audio": "clips/a.wav", "duration": 4.455, "text": text},
        {"audio": str(digits), "duration": 1.0, "offset": 0.0, "text": "seven"},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = xlsr.evaluate("default", tmp_path / "list.jsonl")
    assert [item.hypothesis for item in found.utterances] == [text, "seven"]
    assert found.summary.rate("WER").value == found.summary.rate("CER").value == 0


def test_two_models_are_compared_where_both_were_scored(tmp_path) -> None:
    manifest = manifest_of(tmp_path, *({"text": "a b", "speaker": f"s{i}"} for i in range(8)))
    worse = parrot(*["a x"] * 6, "a b", "a b", name="worse")
    found = xlsr.evaluate(worse, manifest, compare=parrot(*["a b"] * 8, name="better"))
    difference = found.differences["WER"]
    assert (difference.first, difference.second, difference.difference) == (6 / 16, 0, -6 / 16)
    assert difference.interval.high < 0
    assert difference.p_bootstrap < 0.01
    assert difference.p_matched_pairs == pytest.approx(2 / 2**6, abs=0.012)  # six changes, all of one sign
    assert [row[0] for row in found.table().rows] == ["worse", "better"]
    assert found.other.model == "better"
    assert "-37.5" in found.to_text()


def test_models_of_words_and_phones_are_not_compared(tmp_path) -> None:
    manifest = manifest_of(tmp_path, {"text": "a", "phones": "z"})
    with pytest.raises(ConfigError, match="one writes words and two writes phones"):
        xlsr.evaluate(parrot("a", name="one"), manifest, compare=parrot("z", tokenizer=PHONES, name="two"))


def test_an_unknown_breakdown_is_refused_before_the_work() -> None:
    with pytest.raises(ConfigError, match="by holds gender; wanted of language, speaker, split, domain"):
        xlsr.evaluate("no/such/model", "no.jsonl", by=["gender"])


def test_nothing_to_score_is_an_error(tmp_path) -> None:
    with pytest.raises(ManifestError, match="has phones"):
        xlsr.evaluate(parrot("z", tokenizer=PHONES), manifest_of(tmp_path, {"text": "a"}))
    with pytest.raises(XlsrError, match=r"none of 1 utterances was transcribed; the first: .*gone\.wav"):
        xlsr.evaluate(parrot("a"), manifest_of(tmp_path, {"text": "a", "audio": "gone.wav"}))


def test_the_page_holds_the_figures_and_escapes_the_texts(tmp_path) -> None:
    manifest = manifest_of(
        tmp_path, {"text": "a <script>", "language": "<b>"}, {"text": "b", "language": "x"}, {"text": None}
    )
    xlsr.evaluate(parrot("a", "b"), manifest, compare=parrot("a", "c"), report=tmp_path / "new" / "out.html")
    html = (tmp_path / "new" / "out.html").read_text("utf-8")
    assert "<script" not in html
    for part in ("33.3%", "<del>&lt;script&gt;</del>", "By language", "Compared with parrot", "2.wav", "∅", "<svg"):
        assert part in html


def test_a_missing_matplotlib_is_said_before_the_work(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"xlsr\[report\]"):
        xlsr.evaluate("no/such/model", tmp_path / "no.jsonl", report=tmp_path / "out.html")


@pytest.fixture(scope="module")
def spoken_digits(corpora, tmp_path_factory) -> Path:
    """A manifest of sixty recordings of the two test speakers of the Free Spoken Digit Dataset."""
    source = corpora / "fsdd" / "manifest.jsonl"
    if not source.is_file():
        pytest.skip(f"{source} is not there: recordings of digits are needed")
    chosen = read_manifest(source, split="test")[::8][:60]
    path = tmp_path_factory.mktemp("fsdd") / "test.jsonl"
    rows = [vars(replace(utterance)) | {"audio": str(utterance.audio.resolve())} for utterance in chosen]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_the_shipped_model_on_real_digits_has_the_rates_of_jiwer(spoken_digits, tmp_path) -> None:
    done = run(
        "evaluate", spoken_digits, "--by", "speaker", "--json", tmp_path / "a.json", "--report", tmp_path / "a.html"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "a.json").read_text("utf-8"))
    texts = [[item[key] for item in found["utterances"]] for key in ("reference", "hypothesis")]
    assert len(texts[0]) == 60
    rates = found["summary"]["total"]["rates"]
    assert rates["WER"]["value"] == pytest.approx(jiwer.wer(*texts))
    assert rates["CER"]["value"] == pytest.approx(jiwer.cer(*texts))
    assert rates["WER"]["value"] < 0.3  # 9.4 % on all 500
    assert (rates["WER"]["resampled"], rates["WER"]["units"]) == ("speakers", 2)
    texts_of = {part["name"]: part["utterances"] for part in found["summary"]["parts"]["speaker"]}
    assert set(texts_of) == {"fsdd-lucas", "fsdd-theo"}
    assert f"{rates['WER']['value']:.1%}" in done.stdout
    assert "too few to trust" in done.stderr
    assert "</html>" in (tmp_path / "a.html").read_text("utf-8")


def test_the_command_prints_json_alone_and_fails_where_a_recording_does(repository, tmp_path) -> None:
    digits = repository / "examples" / "digits.wav"
    rows = [
        {"audio": str(digits), "duration": 4.455, "text": "SEVEN seven four three five", "split": "test"},
        {"audio": "gone.wav", "duration": 1.0, "text": "one", "split": "test"},
        {"audio": "other.wav", "duration": 1.0, "text": "one", "split": "dev"},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = ("--split", "test", "--keep_case", "--by", "speaker", "--by", "split", "--json", "-")
    done = run("evaluate", *options, tmp_path / "list.jsonl", "--compare", "default")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["summary"]["total"]["rates"]["WER"]["value"] == pytest.approx(0.2)
    assert found["differences"]["WER"]["p_bootstrap"] == 1
    assert done.stderr.count("gone.wav is not there") == 1
    assert "1 failed" in done.stderr
    assert "case kept" in done.stderr
