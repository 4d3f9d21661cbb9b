"""A corpus in any layout becomes manifests that give its own audio; what cannot be used is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data import layouts
from tests.malformed import malformed_files
from xlsr.audio import SUFFIXES
from xlsr.cli.corpora import prepare as verb
from xlsr.data.corpora.layouts import recognise
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.data.prepare import prepare
from xlsr.errors import ManifestError


@pytest.fixture(params=sorted(layouts.LAYOUTS))
def corpus(request, tmp_path) -> tuple[str, Path]:
    return request.param, layouts.LAYOUTS[request.param](tmp_path / "corpus")


@pytest.mark.parametrize("shards", [False, True])
def test_every_layout_gives_its_own_audio_back(corpus, tmp_path, shards: bool) -> None:
    layout, source = corpus
    report = prepare(source, tmp_path / "out", shards=shards, language="eng")
    counts = {summary.name: summary.utterances for summary in report.splits}
    assert counts == layouts.SPLITS.get(layout, {"all": 6})
    assert not report.failures
    found = {}
    for summary in report.splits:
        for utterance in read_manifest(summary.manifest):
            name = str(utterance.text).split()[1]
            found[name] = utterance
            assert utterance.text == layouts.text(name)
            assert utterance.language == ("kab" if layout == "commonvoice" else "eng")
            assert utterance.sample_rate == layouts.RATE
            assert (utterance.audio.parent.suffix == ".tar") == shards
            # Exact: 16-bit samples at 16 kHz pass through WAV and FLAC unchanged, and segments begin on samples.
            np.testing.assert_array_equal(load_utterance(utterance), layouts.waveform(name))
    assert sorted(found) == sorted(layouts.NAMES)


def test_every_layout_is_recognised_and_may_be_named(corpus, tmp_path) -> None:
    layout, source = corpus
    assert recognise(source) == layout
    prepare(source, tmp_path / "out", layout=layout)


def test_every_layout_is_a_manifest_too(corpus) -> None:
    utterances = read_manifest(corpus[1])
    assert sorted(str(utterance.text) for utterance in utterances) == sorted(map(layouts.text, layouts.NAMES))
    assert all(0.4 < utterance.duration < 0.6 for utterance in utterances)


def test_unreadable_recordings_are_named_and_the_others_go_on(tmp_path, capsys) -> None:
    source = layouts.plain(tmp_path / "corpus")
    bad = malformed_files(source / "s0")
    for path in bad.values():
        path.with_suffix(".txt").write_text("something")
    named = {path for path in bad.values() if path.suffix in SUFFIXES and path.is_file()}
    assert verb(source, tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "utterances" in captured.out
    kept = {utterance.audio.name for utterance in read_manifest(tmp_path / "out" / "manifest.jsonl")}
    assert {f"{name}.wav" for name in layouts.NAMES} <= kept
    # What only shows when all of a file is decoded passes: headers are read, not samples.
    left_out = {path for path in named if path.name not in kept}
    assert len(left_out) >= 20
    for path in left_out:
        assert str(path) in captured.err
    assert "recordings were left out" in captured.err


def test_a_missing_recording_is_named_and_the_others_go_on(tmp_path) -> None:
    source = layouts.ljspeech(tmp_path / "corpus")
    (source / "wavs" / "echo.wav").unlink()
    report = prepare(source, tmp_path / "out")
    assert report.splits[0].utterances == 5
    (failure,) = report.failures
    assert "echo" in failure


def test_a_corpus_without_one_readable_recording_is_an_error(tmp_path) -> None:
    source = layouts.manifest(tmp_path / "corpus")
    for path in (tmp_path / "corpus" / "audio").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ManifestError, match=r"no utterance that can be read\n.*alpha"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_list_that_promises_more_than_the_recording_is_refused(tmp_path) -> None:
    layouts.save(tmp_path / "a.wav", "alpha")
    rows = [
        {"audio": "a.wav", "duration": 0.5},
        {"audio": "a.wav", "duration": 5.0},
        {"audio": "a.wav", "duration": 0.01},
    ]
    source = layouts.lines(tmp_path / "list.jsonl", [*map(json.dumps, rows)])
    report = prepare(source, tmp_path / "out")
    assert report.splits[0].utterances == 1
    assert [failure.count("a.wav has 0.500 s") for failure in report.failures] == [1, 1]


def test_an_unknown_folder_says_what_was_looked_for(tmp_path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(ManifestError) as raised:
        prepare(tmp_path, tmp_path / "out")
    for part in (*layouts.LAYOUTS, "wav.scp", "trans.txt", "--layout plain"):
        assert part in str(raised.value)


def test_a_folder_of_two_layouts_wants_a_name(tmp_path) -> None:
    source = layouts.ljspeech(tmp_path / "corpus")
    layouts.manifest(source)
    with pytest.raises(ManifestError, match=r"manifest .*ljspeech .*--layout"):
        prepare(source, tmp_path / "out")
    assert prepare(source, tmp_path / "out", layout="ljspeech").splits[0].utterances == 6


def test_recordings_without_text_are_listed_where_that_is_asked(tmp_path) -> None:
    layouts.save(tmp_path / "corpus" / "a.wav", "alpha")
    layouts.save(tmp_path / "corpus" / ".hidden.wav", "alpha")
    report = prepare(tmp_path / "corpus", tmp_path / "out", layout="plain")
    assert (report.splits[0].utterances, report.splits[0].without_text) == (1, 1)


def test_what_a_corpus_has_divided_stays(tmp_path) -> None:
    source = layouts.commonvoice(tmp_path / "corpus")
    kept = prepare(source, tmp_path / "kept", split=(0.5, 0.5))
    assert {summary.name: summary.utterances for summary in kept.splits} == layouts.SPLITS["commonvoice"]
    assert "--resplit" in kept.notes[0]
    anew = prepare(source, tmp_path / "anew", split=(0.5, 0.5), resplit=True)
    assert [summary.name for summary in anew.splits] == ["train", "dev"]


def test_speakers_and_sentences_in_two_splits_are_told(tmp_path) -> None:
    rows = [
        {"audio": "a.wav", "duration": 0.5, "text": "yes", "speaker": "x", "split": split} for split in ("train", "dev")
    ]
    layouts.save(tmp_path / "a.wav", "alpha")
    report = prepare(layouts.lines(tmp_path / "list.jsonl", [*map(json.dumps, rows)]), tmp_path / "out", language="eng")
    assert report.notes == tuple(
        f"1 utterances of dev have a {what} that train has too" for what in ("speaker", "sentence")
    )


def test_the_language_is_the_corpus_first(tmp_path) -> None:
    layouts.save(tmp_path / "a.wav", "alpha")
    rows = [{"audio": "a.wav", "duration": 0.5, "language": language} for language in ("deu", "en", None)]
    source = layouts.lines(tmp_path / "list.jsonl", [*map(json.dumps, rows)])
    told = prepare(source, tmp_path / "told", language="eng")
    assert [utterance.language for utterance in read_manifest(told.splits[0].manifest)] == ["deu", "eng", "eng"]
    assert not told.notes
    assert "language is en, unknown" in prepare(source, tmp_path / "untold").notes[0]
    with pytest.raises(ManifestError, match="three letters"):
        prepare(source, tmp_path / "wrong", language="en")


def test_earlier_output_is_not_replaced(tmp_path) -> None:
    source = layouts.plain(tmp_path / "corpus")
    prepare(source, tmp_path / "out")
    with pytest.raises(ManifestError, match="in use"):
        prepare(source, tmp_path / "out")


@pytest.mark.parametrize("split", ["../x", "a/b", ".x", "", "manifest", "x" * 200])
def test_a_split_cannot_name_a_file_elsewhere(tmp_path, split: str) -> None:
    layouts.save(tmp_path / "a.wav", "alpha")
    row = {"audio": "a.wav", "duration": 0.5, "split": split}
    with pytest.raises(ManifestError, match="cannot be the name of a file"):
        prepare(layouts.lines(tmp_path / "list.jsonl", [json.dumps(row)]), tmp_path / "out")


def test_the_command_prints_a_table_and_refuses_a_wrong_split(tmp_path, capsys) -> None:
    source = layouts.plain(tmp_path / "corpus")
    assert verb(source, tmp_path / "out", split="half,half") == 2
    assert "--split" in capsys.readouterr().err
    assert verb(source, tmp_path / "out", split="0.5,0.5", shards=True) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()] == ["split", "train", "dev"]
    assert "no speaker: divided by folder (3 folders)" in captured.err


def test_published_speech_is_packed_as_it_is(corpora, tmp_path) -> None:
    source = corpora / "librispeech_test_other_part"
    report = prepare(source, tmp_path / "out", shards=True, shard_megabytes=4)
    before, after = read_manifest(source / "manifest.jsonl"), read_manifest(report.splits[0].manifest)
    assert len(list((tmp_path / "out").glob("*.tar"))) == 3
    assert report.splits[0].hours == pytest.approx(0.151, abs=1e-3)
    assert report.splits[0].speakers == 7
    for old, new in list(zip(before, after, strict=True))[::10]:
        assert (old.text, old.speaker, old.split) == (new.text, new.speaker, new.split)
        np.testing.assert_array_equal(load_utterance(old), load_utterance(new))
