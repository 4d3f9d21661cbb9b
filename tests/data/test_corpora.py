"""Each layout's own habits, and what is wrong in its lists, by line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data import layouts
from tests.data.layouts import lines, save
from xlsr.data.corpora.layouts import read_corpus
from xlsr.data.manifest import load_utterance, read_manifest
from xlsr.errors import AudioError, ManifestError


def broken(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("layout", "name", "old", "new", "message"),
    [
        ("kaldi", "wav.scp", "corpus/long.wav", "sph2pipe -f wav x.sph |", "a command; it is not run"),
        ("kaldi", "wav.scp", "corpus/long.wav", "| touch x", "a command"),
        ("kaldi", "wav.scp", "corpus/long.wav", "raw.ark:1234", "extract it"),
        ("kaldi", "wav.scp", " corpus/long.wav", "", "the path of a recording is wanted"),
        ("kaldi", "segments", "alpha long 0.000", "alpha other 0.000", "alpha is 'other"),
        ("kaldi", "segments", "alpha long 0.000", "alpha long now", "from now to"),
        ("kaldi", "segments", "alpha long 0.000", "alpha long 9.000", "the start before the end"),
        ("kaldi", "segments", "alpha long 0.000", "alpha long nan", "the start before the end"),
        ("kaldi", "text", "alpha say", "omega say", "text names omega"),
        ("kaldi", "utt2spk", "alpha s0", "bravo s0", "line 2 names bravo a second time"),
        ("fairseq", "train.tsv", "alpha.flac\t", "alpha.flac ", "line 2 is"),
        ("fairseq", "train.tsv", "alpha.flac\t8000", "alpha.flac\tmany", "number of samples"),
        ("fairseq", "train.ltr", "s a y", "s a y\ns a y", r"train.ltr has 5 lines; train.tsv lists 4"),
        ("ljspeech", "metadata.csv", "alpha|Say alpha, 1 now|", "alpha ", "line 1 is 'alpha say"),
        ("ljspeech", "metadata.csv", "alpha|", "alpha|x|y|", "is wanted"),
        ("commonvoice", "train.tsv", "\tkab", "", "line 2 has 5 cells; its header names 6"),
        ("commonvoice", "dev.tsv", "bravo.wav", "", "line 2 names no clip"),
        ("huggingface", "train/metadata.csv", "alpha.wav,", "alpha.wav,\"", "cannot be read"),
        ("huggingface", "train/metadata.csv", "alpha.wav,", ",", "line 2 names no audio"),
        ("manifest", "list.jsonl", '"say alpha now"', "7", "line 1: text is 7"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_nothing_is_run(tmp_path, monkeypatch, layout, name, old, new, message) -> None:
    monkeypatch.chdir(tmp_path)
    source = layouts.LAYOUTS[layout](tmp_path / "corpus")
    broken(source.parent if source.is_file() else source, name, old, new)
    with pytest.raises(ManifestError, match=message):
        read_corpus(source)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_kaldi_without_segments_lists_recordings(tmp_path) -> None:
    save(tmp_path / "a.wav", "alpha")
    folder = lines(tmp_path / "dev" / "wav.scp", [f"u1 {tmp_path / 'a.wav'}", f"u2\t{tmp_path / 'a.wav'}"]).parent
    lines(folder / "utt2spk", ["u1 u1", "u2 anna"])
    lines(folder / "utt2lang", ["u1 deu"])
    one, two = read_manifest(tmp_path)  # the folder of the folders
    assert (one.duration, one.speaker, one.language, one.split, one.text) == (0.5, None, "deu", "dev", None)
    assert two.speaker == "anna"


def test_a_kaldi_segment_may_end_with_its_recording(tmp_path) -> None:
    source = layouts.kaldi(tmp_path / "corpus")
    lines(source / "segments", ["alpha long 4.0 -1"])
    for name in ("text", "utt2spk"):
        (source / name).unlink()
    (utterance,) = read_manifest(source)
    assert utterance.duration == pytest.approx(len(layouts.SAMPLES) / 16_000 - 4)
    np.testing.assert_array_equal(load_utterance(utterance), layouts.SAMPLES[64_000:].astype(np.float32) / 32_768)


def test_fairseq_words_and_phones(tmp_path) -> None:
    source = layouts.fairseq(tmp_path)
    lines(source / "train.wrd", ["two words"] * 4)
    lines(source / "train.phn", ["t uː"] * 4)
    train, valid = read_manifest(source / "train.tsv"), read_manifest(source / "valid.tsv")
    assert {(utterance.text, utterance.phones, utterance.split) for utterance in train} == {
        ("two words", "t uː", "train")
    }
    assert [utterance.text for utterance in valid] == [layouts.text("echo"), layouts.text("foxtrot")]
    assert {utterance.split for utterance in valid} == {"dev"}


def test_a_list_of_common_voice_may_be_named(tmp_path) -> None:
    source = layouts.commonvoice(tmp_path)
    everything = read_manifest(source / "validated.tsv")
    assert [utterance.split for utterance in everything] == [None] * 6
    for name in ("train", "dev", "test"):
        (source / f"{name}.tsv").unlink()
    assert read_manifest(source) == everything
    lines(source / "validated.tsv", ["path\tsentence", 'clip\tsaid "so'])
    (first_release,) = read_corpus(source)
    assert (first_release.audio.name, first_release.text) == ("clip.mp3", 'said "so')


def test_lj_speech_takes_the_normalised_text_if_there_is_one(tmp_path) -> None:
    save(tmp_path / "wavs" / "a.flac", "alpha")
    lines(tmp_path / "metadata.csv", ["a|No. 1|number one", "a|No. 2|", "a|No. 3"])
    assert [utterance.text for utterance in read_manifest(tmp_path)] == ["number one", "No. 2", "No. 3"]


def test_hugging_face_jsonl_and_quoted_cells(tmp_path) -> None:
    save(tmp_path / "a.wav", "alpha")
    lines(tmp_path / "metadata.jsonl", [json.dumps({"file_name": "a.wav", "text": "x", "split": "dev", "extra": {}})])
    (utterance,) = read_manifest(tmp_path)
    assert (utterance.text, utterance.split, utterance.duration) == ("x", "dev", 0.5)
    (tmp_path / "metadata.jsonl").unlink()
    lines(tmp_path / "metadata.csv", ["file_name,text,offset,duration", 'a.wav,"one, ""two""\nthree",0.25,0.2'])
    (utterance,) = read_manifest(tmp_path)
    assert (utterance.text, utterance.offset, utterance.duration) == ('one, "two"\nthree', 0.25, 0.2)
    broken(tmp_path, "metadata.csv", "0.25", "soon")
    with pytest.raises(ManifestError, match="offset is 'soon'"):
        read_manifest(tmp_path)


def test_parquet_of_paths_and_of_bytes(tmp_path) -> None:
    import pyarrow
    import pyarrow.parquet

    save(tmp_path / "a.wav", "alpha")
    paths = tmp_path / "paths.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"audio": ["a.wav"], "sentence": ["x"], "duration": [0.5]}), paths)
    (utterance,) = read_manifest(paths)
    assert (utterance.audio, utterance.text) == (tmp_path / "a.wav", "x")
    (mixed := tmp_path / "mixed").mkdir()
    rows = [{"bytes": None, "path": "x.wav"}, {"bytes": (tmp_path / "a.wav").read_bytes(), "path": None}]
    pyarrow.parquet.write_table(pyarrow.table({"audio": rows}), mixed / "b.parquet")
    empty, full = read_corpus(mixed)
    np.testing.assert_array_equal(load_utterance(read_manifest(paths)[0]), layouts.waveform("alpha"))
    np.testing.assert_array_equal(load_utterance(full.__class__(full.audio, 0.5)), layouts.waveform("alpha"))
    for missing in (empty.audio, mixed / "b.parquet" / "2", mixed / "b.parquet" / "-1", mixed / "b.parquet" / "x.wav"):
        with pytest.raises(AudioError, match=r"b\.parquet"):
            load_utterance(full.__class__(missing, 0.5))


def test_a_damaged_parquet_is_named(tmp_path) -> None:
    source = layouts.parquet(tmp_path)
    (table,) = source.glob("data/train*")
    utterances = read_corpus(source)
    content = table.read_bytes()
    for damage in (b"", b"PAR1", content[:-9], content[:100] + bytes(400) + content[500:]):
        table.write_bytes(damage)
        with pytest.raises((AudioError, ManifestError), match=r"train-00000-of-00001\.parquet"):
            [load_utterance(utterance) for utterance in read_manifest(source)[:1]]
    table.write_bytes(b"PAR1")
    with pytest.raises(AudioError, match="train-00000"):
        load_utterance(utterances[-1])


def test_manifests_of_a_folder_give_their_names_as_splits(tmp_path) -> None:
    row = json.dumps({"audio": "a.wav", "duration": 1.0})
    for name in ("train", "dev"):
        lines(tmp_path / f"{name}.jsonl", [row])
    assert [utterance.split for utterance in read_manifest(tmp_path)] == ["dev", "train"]
    lines(tmp_path / "everything.jsonl", [row])
    with pytest.raises(ManifestError, match=r"everything\.jsonl, train\.jsonl: name the one"):
        read_manifest(tmp_path)


def test_an_unknown_layout_is_refused(tmp_path) -> None:
    with pytest.raises(ManifestError, match="layout is 'other'; one of auto, manifest"):
        read_corpus(tmp_path, "other")  # type: ignore[arg-type]
