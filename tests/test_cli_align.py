"""The verb that sets a text beside a recording, as it is called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import xlsr
from xlsr import cli
from xlsr.errors import AlignmentError


def call(capsys: pytest.CaptureFixture[str], *tokens: str) -> tuple[int, str, str]:
    status = cli.app(["align", *tokens], result_action="return_value", exit_on_error=False)
    out, err = capsys.readouterr()
    return status, out, err


def test_the_verb_prints_times_and_names_doubtful_words(
    capsys: pytest.CaptureFixture[str], repository: Path, tmp_path: Path
) -> None:
    audio = str(repository / "examples" / "digits.wav")
    status, out, err = call(capsys, audio, "--text", "7 7 4 3 nine")
    assert status == 0
    assert [word["word"] for word in json.loads(out)["segments"][0]["words"]] == ["7", "7", "4", "3", "nine"]
    assert "1 of 5 do not seem to be said" in err
    assert "nine (3.6" in err
    script = tmp_path / "script.txt"
    script.write_text("\ufeffseven seven\nfour three five\n", encoding="utf-8")
    status, out, err = call(capsys, audio, "--text_file", str(script), "-f", "srt")
    assert (status, out.count("-->")) == (0, 2)
    assert "do not seem" not in err
    status, out, _ = call(capsys, audio, "--text_file", str(script), "-f", "all", "-o", str(tmp_path / "out"))
    assert (status, out) == (0, "")
    assert (tmp_path / "out" / "digits.json").is_file()


def test_a_wrong_call_of_the_verb_is_refused(
    capsys: pytest.CaptureFixture[str], repository: Path, tmp_path: Path
) -> None:
    audio = str(repository / "examples" / "digits.wav")
    assert call(capsys, audio)[0] == 2
    assert call(capsys, audio, "--text", "a", "--text_file", "b")[0] == 2
    assert call(capsys, audio, "--text", "one", "-f", "all")[0] == 2
    (tmp_path / "latin").write_bytes(b"\xe9t\xe9")
    with pytest.raises(xlsr.XlsrError, match="not UTF-8"):
        call(capsys, audio, "--text_file", str(tmp_path / "latin"))
    with pytest.raises(AlignmentError, match="too long for it"):
        call(capsys, audio, "--text", "seven " * 500)
    wanted = r"nofile cannot be read \(No such file or directory\); a file with the text is wanted: check the path"
    with pytest.raises(xlsr.XlsrError, match=wanted):
        call(capsys, audio, "--text_file", str(tmp_path / "nofile"))
    with pytest.raises(xlsr.XlsrError, match=r"latin cannot be made \(File exists\): name another --output_dir"):
        call(capsys, audio, "--text", "one", "-o", str(tmp_path / "latin"))


def test_one_side_of_a_call_is_aligned(capsys: pytest.CaptureFixture[str], repository: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(repository / "examples" / "digits.wav", dtype="float32")
    both = np.stack([np.zeros_like(samples), samples], axis=1)
    soundfile.write(tmp_path / "call.wav", both, rate // 2)
    text = "seven seven four three five"
    options = ("--text", text, "--channel", "right", "--sample_rate", str(rate))
    status, out, err = call(capsys, str(tmp_path / "call.wav"), *options)
    assert status == 0
    assert "do not seem" not in err
    wanted = json.loads(call(capsys, str(repository / "examples" / "digits.wav"), "--text", text)[1])
    assert json.loads(out)["segments"] == wanted["segments"]


def test_the_search_of_a_folder_is_not_opened(
    capsys: pytest.CaptureFixture[str], repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(Path(xlsr.__file__).parent / "assets" / "default", tmp_path / "model")
    stored = json.loads((tmp_path / "model" / "xlsr.json").read_text("utf-8"))
    (tmp_path / "model" / "xlsr.json").write_text(json.dumps(stored | {"decoder": {"lm": "gone.ngram"}}), "utf-8")
    with pytest.raises(xlsr.XlsrError, match=r"gone\.ngram"):
        xlsr.load_model(tmp_path / "model")
    audio = str(repository / "examples" / "digits.wav")
    assert call(capsys, audio, "--text", "seven", "--model", str(tmp_path / "model"))[0] == 0
