"""The command as users run it: what it prints where, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.malformed import malformed_files, wave_bytes


def run(
    *arguments: str | Path, stdin: bytes | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "xlsr", *map(str, arguments)],
        input=stdin, capture_output=True, check=False, timeout=180, cwd=cwd, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def digits(repository) -> Path:
    return repository / "examples" / "digits.wav"


def test_the_shipped_model_transcribes_the_example(digits) -> None:
    done = run("transcribe", digits)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (digits.with_suffix(".txt")).read_text()
    assert "xlsr-digits" in done.stderr
    assert "openvino" in done.stderr


@pytest.mark.parametrize("options", [[], ["--vad"]])
def test_a_long_recording_is_printed_once_as_its_segments(digits, tmp_path, options) -> None:
    samples, rate = soundfile.read(digits)
    soundfile.write(tmp_path / "long.wav", np.tile(np.append(samples, np.zeros(2 * rate)), 8), rate)
    rows = json.loads(run("transcribe", tmp_path / "long.wav", "-f", "json", *options).stdout)
    assert len(rows["segments"]) == 8
    done = run("transcribe", tmp_path / "long.wav", digits, *options)
    spoken = digits.with_suffix(".txt").read_text()
    assert (done.returncode, done.stdout) == (0, "".join(row["text"] + "\n" for row in rows["segments"]) + spoken)
    whole = run("transcribe", tmp_path / "long.wav", "--timestamps", "none", *options).stdout
    assert whole == rows["text"] + "\n"


def test_stdin_is_read(digits) -> None:
    done = run("transcribe", "-", stdin=digits.read_bytes())
    assert (done.returncode, done.stdout) == (0, digits.with_suffix(".txt").read_text())


@pytest.mark.parametrize("spelling", ["--output_format", "--output-format", "-f"])
def test_json_is_whispers_superset(digits, spelling: str) -> None:
    done = run("transcribe", digits, spelling, "json")
    result = json.loads(done.stdout)
    assert result["text"] == digits.with_suffix(".txt").read_text().strip()
    word = result["segments"][0]["words"][0]
    assert {"word", "start", "end", "score"} <= word.keys()


def test_every_format_is_written_to_a_folder(digits, tmp_path) -> None:
    done = run("transcribe", digits, "-f", "all", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"digits.{kind}" for kind in ("txt", "json", "jsonl", "srt", "vtt", "tsv", "ctm", "stm", "TextGrid")
    }


def test_words_are_highlighted_where_asked(digits) -> None:
    done = run("transcribe", digits, "-f", "vtt", "--highlight_words")
    words = digits.with_suffix(".txt").read_text().split()
    assert [f"<u>{word}</u>" in done.stdout for word in words] == [True] * len(words)


@pytest.mark.parametrize(
    "options",
    [
        ("-f", "ctm", "--timestamps", "segment"),
        ("-f", "stm", "--timestamps", "none"),
        ("-f", "json", "--highlight_words"),
        ("-f", "vtt", "--highlight_words", "--timestamps", "segment"),
    ],
)
def test_formats_whose_times_are_not_asked_for_are_a_wrong_call(digits, options: tuple[str, ...]) -> None:
    done = run("transcribe", digits, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert options[1] in done.stderr or "--highlight_words" in done.stderr


def test_malformed_inputs_are_named_and_the_good_ones_transcribed(digits, tmp_path) -> None:
    bad = malformed_files(tmp_path)
    assert len(bad) >= 20
    done = run("transcribe", digits, *bad.values(), digits, "-f", "jsonl")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    good = [row for row in rows if "text" in row]
    assert [row["text"] for row in good] == [digits.with_suffix(".txt").read_text().strip()] * 2
    for path in bad.values():
        assert str(path) in done.stderr, f"{path.name} is not named"
    assert f"{len(bad)} of {len(bad) + 2} recordings failed" in done.stderr


def test_each_malformed_input_alone_exits_with_one(tmp_path) -> None:
    for name, path in list(malformed_files(tmp_path).items())[:3]:
        done = run("transcribe", path)
        assert (done.returncode, done.stdout) == (1, ""), name
        assert "Traceback" not in done.stderr


def test_silence_is_an_empty_line(tmp_path) -> None:
    silence = tmp_path / "silence.wav"
    silence.write_bytes(wave_bytes(bytes(32_000)))
    done = run("transcribe", silence)
    assert (done.returncode, done.stdout) == (0, "\n")


@pytest.mark.parametrize(("output_format", "printed"), [("srt", ""), ("ctm", ""), ("vtt", "WEBVTT\n")])
def test_silence_is_nothing_where_its_file_is_empty(tmp_path, output_format: str, printed: str) -> None:
    silence = tmp_path / "silence.wav"
    silence.write_bytes(wave_bytes(bytes(32_000)))
    done = run("transcribe", silence, "-f", output_format)
    assert (done.returncode, done.stdout) == (0, printed)


def test_folders_and_manifests_are_expanded(digits, tmp_path) -> None:
    (tmp_path / "sounds").mkdir()
    for name in ("b.wav", "a.wav", "notes.md"):
        (tmp_path / "sounds" / name).write_bytes(digits.read_bytes())
    manifest = tmp_path / "list.jsonl"
    manifest.write_text(json.dumps({"audio": "sounds/b.wav", "duration": 1.0}) + "\n")
    done = run("transcribe", tmp_path / "sounds", "--manifest", manifest, "-f", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(row["audio"]["name"]).name for row in rows] == ["a.wav", "b.wav", "b.wav"]


def test_segments_and_archives_of_a_manifest_are_cut_and_found(digits, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.write(digits, "a.wav")
    rows = [
        {"audio": str(digits), "duration": 4.455}, {"audio": str(digits), "duration": 1.0, "offset": 0.0},
        {"audio": "clips/a.wav", "duration": 4.455}, {"audio": "clips/b.wav", "duration": 1.0},
        {"audio": str(digits), "duration": 1.0, "offset": 99.0},
    ]  # fmt: skip
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    done = run("transcribe", "--manifest", manifest, "-f", "jsonl")
    whole = digits.with_suffix(".txt").read_text().strip()
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in found] == [whole, "seven", whole]
    assert found[1]["duration"] == pytest.approx(0.98)
    assert done.returncode == 1
    for message in ("no member b.wav", "a segment of 1.00 s at 99.00 s is wanted"):
        assert message in done.stderr


def test_outputs_never_write_over_each_other(digits, tmp_path) -> None:
    for name in ("one/a.wav", "two/a.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(digits.read_bytes())
    refused = run("transcribe", tmp_path / "one" / "a.wav", tmp_path / "two" / "a.wav", "-o", tmp_path / "out")
    assert refused.returncode == 1
    assert "more than one recording" in refused.stderr
    done = run("transcribe", tmp_path, "-o", tmp_path / "out")
    assert done.returncode == 0
    assert (tmp_path / "out" / "one" / "a.txt").is_file()
    assert (tmp_path / "out" / "two" / "a.txt").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["transcribe"], 2, "nothing to transcribe"),
        (["transcribe", "x.wav", "-f", "doc"], 2, "doc"),
        (["transcribe", "x.wav", "--bogus"], 2, "bogus"),
        (["transcribe", "x.wav", "-f", "all"], 2, "--output_dir"),
        (["transcribe", "x.wav", "--model", "nowhere"], 1, "nowhere"),
        (["transcribe", "x.wav", "-f", "srt", "--timestamps", "none"], 2, "needs times"),
        (["transcribe", "x.wav", "--threads", "-1"], 1, "threads"),
        (["transcribe", "x.wav", "--sample_rate", "0"], 2, "sample_rate is 0; 1000 to 768000 Hz"),
        (["transcribe", "x.wav", "--sample_rate", "-5"], 2, "sample_rate is -5"),
        (["transcribe", "x.wav", "--batch_seconds", "0"], 2, "--batch_seconds"),
        (["transcribe", "x.wav", "--batch_seconds", "nan"], 2, "--batch_seconds"),
        (["evaluate", "x.jsonl", "--batch_seconds", "-1"], 2, "--batch_seconds"),
        (["transcribe", "x.wav", "--nbest", "3"], 2, "--nbest wants json, jsonl or all"),
        (["transcribe", "x.wav", "--nbest", "3", "-f", "vtt"], 2, "--nbest wants json, jsonl or all"),
        (["transcribe", "x.wav", "--nbest", "3", "-f", "json", "--channel", "split"], 2, "not for --channel split"),
        (["align", "x.wav", "--text", "a", "--sample_rate", "0"], 2, "sample_rate is 0"),
        (["align", "x.wav", "--text", "a", "--channel", "split"], 2, "--channel"),
        (["bogus"], 2, "bogus"),
        (["finetune", "missing.toml", "-o", "out"], 1, "missing.toml"),
        (["finetune", "missing.toml", "-o", "out", "--lr", "3"], 1, "--table.key"),
        (["info", "nowhere"], 1, "nowhere"),
        (["prepare", "nowhere", "out"], 1, "nowhere"),
        (["prepare", "nowhere", "out", "--layout", "bogus"], 2, "bogus"),
        (["prepare", "nowhere", "out", "--split", "half"], 2, "--split"),
    ],
)
def test_wrong_calls_say_what_is_wrong(arguments, status: int, message: str, tmp_path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_info_describes_the_shipped_model() -> None:
    done = run("info")
    assert done.returncode == 0
    for part in ("xlsr-digits", "CC BY-SA 4.0", "openvino/model.xml", "problems     none"):
        assert part in done.stdout


def test_version() -> None:
    assert run("--version").stdout.startswith("xlsr 0.")


def test_the_whole_path_through_the_command(tiny_folder, tmp_path) -> None:
    done = run("export", "openvino", tiny_folder, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "out" / "openvino" / "model.xml")
    assert "largest difference" in done.stderr
    assert run("info", tmp_path / "out").returncode == 0


def test_a_call_is_split_into_lines_that_name_their_channel(digits, tmp_path) -> None:
    samples, rate = soundfile.read(digits, dtype="float32")
    both = np.zeros((len(samples) + 4 * rate, 2), np.float32)
    both[: len(samples), 0], both[4 * rate :, 1] = samples, samples
    soundfile.write(tmp_path / "call.wav", both, rate)
    words = digits.with_suffix(".txt").read_text().split()
    done = run("transcribe", tmp_path / "call.wav", "--channel", "split")
    assert done.returncode == 0
    for number in (1, 2):
        lines = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith(f"[channel {number}]")]
        assert " ".join(lines).split() == words
    without_times = run("transcribe", tmp_path / "call.wav", "--channel", "split", "--timestamps", "none")
    assert without_times.stdout == done.stdout
    done = run("transcribe", tmp_path / "call.wav", "--channel", "split", "-f", "ctm")
    assert sorted({line.split()[1] for line in done.stdout.splitlines()}) == ["1", "2"]
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"call"}
    done = run("transcribe", "-", "--channel", "right", stdin=(tmp_path / "call.wav").read_bytes())
    assert done.stdout.split() == words


def test_a_wrong_header_is_found_and_said(digits, tmp_path) -> None:
    samples, rate = soundfile.read(digits, dtype="float32")
    soundfile.write(tmp_path / "wrong.wav", samples, rate // 2)
    done = run("transcribe", tmp_path / "wrong.wav", "-f", "json")
    result = json.loads(done.stdout)
    assert result["text"] == digits.with_suffix(".txt").read_text().strip()
    assert (result["audio"]["sample_rate"], result["audio"]["channels"]) == (rate, 1)
    note = f"its header says {rate // 2} Hz; it is read at {rate} Hz, and times are those of {rate} Hz"
    assert result["audio"]["notes"][0] == note
    assert f"wrong.wav: {note}" in done.stderr
    done = run("transcribe", tmp_path / "wrong.wav", "--sample_rate", str(rate))
    assert done.stdout == digits.with_suffix(".txt").read_text()


@pytest.mark.parametrize("option", [("--sample_rate", "8000"), ("--channel", "split"), ("--channel", "right")])
def test_rates_and_channels_are_not_for_manifests(digits, tmp_path, option: tuple[str, str]) -> None:
    manifest = tmp_path / "list.jsonl"
    manifest.write_text(json.dumps({"audio": str(digits), "duration": 4.455}) + "\n")
    done = run("transcribe", "--manifest", manifest, *option)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option[0]} is for files" in done.stderr
