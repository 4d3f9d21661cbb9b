"""The doctor finds every fault that was put into a real corpus, under its name, and nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.data.corrupted import Corpus, real_rows, spoil
from tests.malformed import tone, write_soundfile
from xlsr.data import checks_audio
from xlsr.data.doctor import doctor
from xlsr.data.findings import KINDS
from xlsr.data.rows import read_rows
from xlsr.errors import ManifestError


def found(report) -> set[tuple[int | None, str]]:
    return {(finding.line, finding.code) for finding in report.findings}


@pytest.mark.slow
def test_every_seeded_fault_is_found_and_nothing_else(corpora, tmp_path) -> None:
    manifest = corpora / "librispeech_train_clean_5" / "manifest.jsonl"
    corpus = Corpus(tmp_path, real_rows(manifest, num_train=110, num_held_out=40), np.random.default_rng(7))
    clean = doctor(corpus.save("clean.jsonl"))
    assert clean.utterances == 150
    assert found(clean) == set()
    assert not clean.failed(strict=True)

    spoil(corpus)
    report = doctor(corpus.save("spoiled.jsonl"), fix=tmp_path / "fixed.jsonl")
    codes = Counter(code for _, code in corpus.expected)
    assert len(codes) >= 25
    assert found(report) == corpus.expected
    assert report.failed()

    # What is left has no error, and what was mended is no longer told.
    again = doctor(tmp_path / "fixed.jsonl")
    assert again.count("error") == 0
    assert not {"whitespace", "not_nfc", "invisible_characters"} & again.counts.keys()
    assert set(report.dropped) == {f.line for f in report.findings if f.severity == "error"}
    assert len(report.dropped) == sum(KINDS[code][0] == "error" for _, code in corpus.expected) - 1
    assert again.utterances == report.utterances - len(report.dropped)


def test_the_true_faults_of_a_crowd_corpus_are_the_only_ones(corpora, tmp_path) -> None:
    """Chuvash was typed with Latin letters here and there; one Breton apostrophe is typographic."""
    rows = read_rows(corpora / "common_voice_sample" / "manifest.jsonl")[0]
    chosen = [row for row in rows if row.utterance.language in ("chv", "bre")]
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(row.content | {"audio": str(row.utterance.audio)}) + "\n" for row in chosen))
    report = doctor(path)
    latin = {
        line
        for line, row in enumerate(chosen, 1)
        if row.utterance.language == "chv" and re.search("[ăĕç]", row.text.lower())
    }
    typographic = {line for line, row in enumerate(chosen, 1) if "’" in row.text}
    slashes = {line for line, row in enumerate(chosen, 1) if "/" in row.text}
    assert (len(latin), len(typographic), len(slashes)) == (5, 1, 2)
    assert found(report) == {
        *((line, "confusable_characters") for line in latin | typographic),
        *((line, "unspoken_symbols") for line in slashes),
        (83, "unseen_characters"),  # the only colon is in the test split
        (None, "unseen_characters"),  # Breton has a test split alone
        (None, "wrong_rate"),  # the rows state the rates of the originals
    }
    assert not report.failed()


def test_the_other_manifests_of_a_split_corpus_leak_nothing_or_are_named(tmp_path) -> None:
    rng = np.random.default_rng(0)
    waves = {name: (3000 * rng.standard_normal(16_000)).astype(np.int16) for name in ("a", "b", "c", "d", "e")}
    for name, samples in waves.items():
        write_soundfile(tmp_path / f"{name}.wav", samples, 16_000)
    write_soundfile(tmp_path / "b again.flac", waves["b"], 16_000)

    def row(audio: str, text: str, speaker: str) -> dict:
        return {"audio": audio, "duration": 1.0, "text": text, "speaker": speaker, "split": "train"}

    train = write(tmp_path, "train.jsonl", row("a.wav", "one two three four", "A"), row("b.wav", "five", "B"),
                  row("c.wav", "six", "C"))  # fmt: skip
    dev = write(tmp_path, "dev.jsonl", row("d.wav", "One, two: three four!", "D"), row("e.wav", "six", "E"))
    test = write(tmp_path, "test.jsonl", row("b again.flac", "five", "X"), row("e.wav", "seven", "C"))
    assert found(doctor(train)) == set()
    report = doctor(train, against=[dev, test])
    assert found(report) == {(2, "audio_leak"), (1, "text_leak"), (3, "speaker_leak")}  # one word leaks nothing
    assert found(doctor(train, against=[dev, test], audio=False)) == {(1, "text_leak"), (3, "speaker_leak")}


def test_the_clean_manifest_keeps_bytes_and_tells_what_it_did(tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    write_soundfile(tmp_path / "a.wav", tone(1.0), 16_000)
    lines = [
        b'{"text" : "kept as it is" ,"audio":"a.wav","duration":1, "offset": 0,  "note":"\\u00e9"}',
        '{"audio": "a.wav", "duration": 1, "features": "t/a.npy", "text": " cafe\u0301\u00a0au\u200b lait "}'.encode(),
        b'{"audio": "gone.wav", "duration": 1.0, "text": "lost"}',
        b"{broken",
    ]
    path = tmp_path / "list.jsonl"
    path.write_bytes(b"\r\n".join(lines) + b"\n\n")
    before = path.read_bytes()
    report = doctor(path, fix=tmp_path / "clean.jsonl")
    assert path.read_bytes() == before
    kept, mended = (tmp_path / "clean.jsonl").read_bytes().splitlines(keepends=True)
    assert kept == lines[0] + b"\r\n"
    unchanged = {"audio": "a.wav", "duration": 1, "features": "t/a.npy"}
    assert json.loads(mended) == unchanged | {"text": "café au lait"}
    assert [(repair.line, repair.after) for repair in report.repaired] == [(2, "café au lait")]
    dropped = [json.loads(line) for line in (tmp_path / "clean.dropped.jsonl").read_text("utf-8").splitlines()]
    assert [(row["line"], [why["code"] for why in row["reasons"]]) for row in dropped] == [
        (3, ["unreadable_audio"]), (4, ["bad_row"])]  # fmt: skip
    assert dropped[1]["row"].strip() == "{broken"
    assert report.dropped == (3, 4)

    doctor(path, fix=tmp_path / "deep" / "clean.jsonl")  # in another folder its files are found again
    assert doctor(tmp_path / "deep" / "clean.jsonl").count("error") == 0
    assert json.loads((tmp_path / "deep" / "clean.jsonl").read_bytes().splitlines()[1])["features"] == "../t/a.npy"


def test_the_clean_manifest_overwrites_none_that_was_read(tmp_path) -> None:
    path = write(tmp_path, "list.jsonl", {"audio": "a.wav", "duration": 1.0})
    other = write(tmp_path, "clean.dropped.jsonl", {"audio": "a.wav", "duration": 1.0})
    for fix, against in ((path, []), (tmp_path / "clean.jsonl", [other])):
        with pytest.raises(ManifestError, match="would overwrite"):
            doctor(path, against=against, fix=fix)


def test_the_clean_manifest_overwrites_nothing_but_an_earlier_one(tmp_path) -> None:
    path = write(tmp_path, "list.jsonl", {"audio": "a.wav", "duration": 1.0})
    test = write(tmp_path, "test.jsonl", {"audio": "b.wav", "duration": 1.0})
    before = test.read_bytes()
    with pytest.raises(ManifestError, match=r"test\.jsonl is there already"):
        doctor(path, audio=False, fix=test)
    assert test.read_bytes() == before
    for _ in range(2):
        doctor(path, audio=False, fix=tmp_path / "clean.jsonl")
    assert not list(tmp_path.glob(".*.part"))


def test_a_manifest_of_nothing_is_refused(tmp_path) -> None:
    for content in ("", "\n\n"):
        (tmp_path / "empty.jsonl").write_text(content)
        with pytest.raises(ManifestError, match="lists no utterance"):
            doctor(tmp_path / "empty.jsonl")
    with pytest.raises(ManifestError, match="cannot be read"):
        doctor(tmp_path / "none.jsonl")


def test_every_finding_says_what_to_do(tmp_path) -> None:
    """The report is plain JSON, its totals are those of its findings, and the gravest stand first."""
    path = write(tmp_path, "list.jsonl", {"audio": "gone.wav", "duration": 1.0, "text": "5\ud800"}, "[]")
    report = doctor(path)
    written = json.loads(json.dumps(report.to_dict()))
    assert written["totals"] == {"errors": 2, "warnings": 2, "notes": 0}
    assert written["counts"] == dict.fromkeys(report.counts, 1)
    assert [row["severity"] for row in written["findings"]] == ["error", "error", "warning", "warning"]
    assert all(re.search("[:;] ", row["message"]) for row in written["findings"])
    assert doctor(path, audio=False).count("error") == 1


def test_several_rows_of_one_recording_are_read_in_one_pass(tmp_path, monkeypatch) -> None:
    """A long recording cut in pieces is decoded once, and never held whole."""
    write_soundfile(tmp_path / "long.wav", np.tile(tone(1.0), 100), 16_000)
    rows = [{"audio": "long.wav", "duration": 10.0, "offset": float(start), "text": f"part {start}"}
            for start in range(0, 100, 10)]  # fmt: skip
    opened = []
    real = checks_audio.open_audio
    monkeypatch.setattr(
        checks_audio, "open_audio", lambda source, **options: opened.append(source) or real(source, **options)
    )
    report = doctor(write(tmp_path, "list.jsonl", *rows, rows[0] | {"offset": 95.0}))
    assert len(opened) == 1
    assert report.seconds == pytest.approx(105)
    assert found(report) - {(line, "contradictory_text") for line in range(2, 11)} == {
        (11, "truncated_audio"), *((line, "unspoken_symbols") for line in range(1, 12))}  # fmt: skip


def test_lists_of_other_forms_are_checked_and_not_copied(tmp_path) -> None:
    (tmp_path / "corpus" / "wavs").mkdir(parents=True)
    for name, samples in (("a", tone(1.0)), ("b", np.zeros(16_000, np.float32))):
        write_soundfile(tmp_path / "corpus" / "wavs" / f"{name}.wav", samples, 16_000)
    (tmp_path / "corpus" / "metadata.csv").write_text("a|One.|One.\nb|Two.|Two.\n")
    assert found(doctor(tmp_path / "corpus")) == {(2, "silent_audio")}
    with pytest.raises(ManifestError, match="no JSON lines"):
        doctor(tmp_path / "corpus", fix=tmp_path / "clean.jsonl")


def test_the_column_of_the_text_keeps_its_name(tmp_path) -> None:
    write_soundfile(tmp_path / "a.wav", tone(1.0), 16_000)
    path = write(tmp_path, "list.jsonl", {"path": "a.wav", "duration": 1.0, "sentence": " hello"})
    doctor(path, fix=tmp_path / "clean.jsonl")
    assert json.loads((tmp_path / "clean.jsonl").read_text()) == {"path": "a.wav", "duration": 1.0, "sentence": "hello"}


def write(folder, name: str, *rows) -> Path:
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path
