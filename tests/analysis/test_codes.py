"""Counts of codebook entries are those of a plain loop over frames, whatever shares a batch with what."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import xlsr
from tests.evaluation.test_measure import manifest_of
from tests.test_cli import run
from tests.test_report import Reader
from xlsr.analysis.pieces import read_pieces
from xlsr.audio import normalize_waveform
from xlsr.checkpoint.load import load_checkpoint
from xlsr.data.manifest import Utterance, load_utterance, read_manifest
from xlsr.errors import CheckpointError, ManifestError, XlsrError


@pytest.fixture
def three_languages(tmp_path) -> Path:
    languages = ["deu", "eng", "deu", "fin", "eng", "fin", "est"]
    return manifest_of(tmp_path, *({"language": language} for language in languages))


def counted_slowly(model: Path, manifest: Path) -> dict[str, list[Counter]]:
    """The whole network on each utterance alone, frame by frame."""
    network = load_checkpoint(model).network
    counts: dict[str, list[Counter]] = {}
    for row in read_manifest(manifest):
        waveform = torch.from_numpy(normalize_waveform(load_utterance(row)))[None]
        with torch.inference_mode():
            frames = network(waveform).quantized.codes[0].tolist()
        for frame in frames:
            for counter, entry in zip(counts.setdefault(row.language, [Counter(), Counter()]), frame, strict=True):
                counter[entry] += 1
    return counts


def as_counters(report) -> dict[str, list[Counter]]:
    return {
        one.language: [Counter({k: n for k, n in enumerate(row) if n}) for row in one.counts.tolist()]
        for one in report.languages
    }


@pytest.mark.parametrize("batch_seconds", [1.0, 60.0])
@pytest.mark.parametrize("model", ["pretrained", "pretrained_base"])
def test_counts_are_those_of_a_slow_loop_and_padding_changes_none(
    model, three_languages, batch_seconds, request
) -> None:
    folder = request.getfixturevalue(model)
    found = xlsr.codes(folder, three_languages, device="cpu", batch_seconds=batch_seconds)
    assert as_counters(found) == counted_slowly(folder, three_languages)
    assert found.names == ("deu", "eng", "est", "fin")
    assert [one.utterances for one in found.languages] == [2, 2, 1, 2]
    assert found.languages[0].seconds == pytest.approx(1.0 + 1.2)
    assert found.failures == ()


def test_a_checkpoint_in_memory_gives_what_its_folder_gives(pretrained, three_languages) -> None:
    one = xlsr.codes(load_checkpoint(pretrained), three_languages, device="cpu")
    assert one.to_dict() == xlsr.codes(pretrained, three_languages, device="cpu").to_dict()


def test_pieces_of_a_long_recording_tile_its_frames(tmp_path) -> None:
    config = xlsr.Wav2Vec2Config.from_dict({})
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000 * 61 + 123)
    soundfile.write(tmp_path / "0.wav", samples, 16_000, subtype="FLOAT")
    rows = [Utterance(tmp_path / "0.wav", len(samples) / 16_000)]
    batches = list(read_pieces(rows, config, batch_seconds=20))
    assert [len(batch) for batch in batches] == [1, 1, 1]
    pieces = [piece for (piece,) in batches]
    assert [piece.start for piece in pieces] == [0, 30, 60]
    frames = [config.num_frames(len(piece.samples)) for piece in pieces]
    assert frames[:2] == [1500, 1500]
    assert sum(frames) == config.num_frames(len(samples))


def test_a_cap_takes_some_utterances_of_each_language_the_same_each_time(pretrained, three_languages) -> None:
    found = xlsr.codes(pretrained, three_languages, device="cpu", max_seconds=0.5)
    assert [one.utterances for one in found.languages] == [1, 1, 1, 1]
    assert found.to_dict() == xlsr.codes(pretrained, three_languages, device="cpu", max_seconds=0.5).to_dict()


def test_what_cannot_be_counted_is_named_and_the_rest_goes_on(pretrained, tmp_path) -> None:
    manifest = manifest_of(tmp_path, {"language": "deu"}, {}, {"language": "fin", "audio": "gone.wav"})
    found = xlsr.codes(pretrained, manifest, device="cpu")
    assert found.names == ("deu",)
    assert ["has no language" in failure.error for failure in found.failures] == [True, False]
    assert "gone.wav" in found.failures[1].error
    assert "fin" not in found.to_text()
    json.loads(found.to_json())


def test_errors_say_what_is_wanted(pretrained, finetuned, three_languages, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="Wav2Vec2ForCTC, which has no quantizer"):
        xlsr.codes(finetuned, three_languages, device="cpu")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ManifestError, match=r"no row of .* has a language"):
        xlsr.codes(pretrained, manifest_of(tmp_path / "bare", {}), device="cpu")
    (tmp_path / "bad").mkdir()
    with pytest.raises(XlsrError, match="none of 1 utterances was counted"):
        xlsr.codes(pretrained, manifest_of(tmp_path / "bad", {"language": "deu", "audio": "x.wav"}), device="cpu")


def test_the_report_shows_clusters_map_and_nearest(pretrained, three_languages, tmp_path) -> None:
    found = xlsr.codes(pretrained, three_languages, device="cpu", report=tmp_path / "new" / "out.html")
    page = Reader((tmp_path / "new" / "out.html").read_text("utf-8"))
    assert sum(tag == "svg" for tag, _ in page.elements) == 2
    for words in ("Nearest languages", "Uralic", "Similarity within families"):
        assert words in page.text
    values = found.to_dict()
    assert sorted(values["order"]) == ["deu", "eng", "est", "fin"]
    assert len(values["merges"]) == 3
    assert values["family_test"]["pairs"] == 2
    assert np.array(values["similarity"]).shape == (4, 4)
    assert np.array(values["languages"][0]["counts"]).sum() == 2 * values["languages"][0]["frames"]


def test_the_command_prints_what_the_function_returns(pretrained, three_languages, tmp_path) -> None:
    shared = (three_languages, "--model", pretrained, "--device", "cpu", "--threads", 1)
    done = run("codes", *shared, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    found = xlsr.codes(pretrained, three_languages, device="cpu")
    assert done.stdout == found.to_text()
    assert json.loads((tmp_path / "out.json").read_text("utf-8")) == json.loads(found.to_json())
    mine = tmp_path / "mine.tsv"
    mine.write_text("deu\tA\neng\tB\nest\tA\nfin\tB\n", "utf-8")
    done = run("codes", *shared, "--families", mine, "--json", "-")
    assert [one["family"] for one in json.loads(done.stdout)["languages"]] == ["A", "B", "A", "B"]


def test_a_failure_makes_the_exit_status_one(pretrained, tmp_path) -> None:
    done = run("codes", manifest_of(tmp_path, {"language": "deu"}, {}), "--model", pretrained, "--device", "cpu")
    assert done.returncode == 1
    assert "1 not counted" in done.stderr
    assert "deu" in done.stdout


def test_real_recordings_of_two_languages(pretrained, corpora, tmp_path) -> None:
    source = corpora / "common_voice_sample" / "manifest.jsonl"
    rows = read_manifest(source)
    some = [row for code in ("deu", "nld", "jpn") for row in [r for r in rows if r.language == code][:3]]
    xlsr.write_manifest(some, tmp_path / "some.jsonl")
    found = xlsr.codes(pretrained, tmp_path / "some.jsonl", device="cpu", threads=1)
    assert [one.utterances for one in found.languages] == [3, 3, 3]
    assert found.families == {"deu": "Indo-European", "nld": "Indo-European", "jpn": "Japonic"}
    assert (found.similarity.diagonal() == 1).all()
    assert found.family_test.pairs == 1
