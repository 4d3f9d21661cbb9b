"""A probe tells phones where the sound tells them, from recordings that it has not learnt from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import xlsr
from tests.test_cli import run
from tests.test_report import Reader
from xlsr.analysis.encode import Encoder
from xlsr.analysis.phones import divide, label_frames
from xlsr.analysis.pieces import Piece
from xlsr.data.manifest import Interval, Utterance, read_manifest
from xlsr.errors import ConfigError, ManifestError

TONES = {"a": 300, "i": 900, "u": 2700}


def tone_corpus(folder: Path, count: int = 16, *, alike: bool = False) -> Path:
    """Recordings of "phones" that are tones in noise, each by its own speaker; `alike`: phones that sound alike."""
    lines = []
    for number in range(count):
        rng = np.random.default_rng(number)
        names = [str(name) for name in rng.permutation([*TONES] * 3)]
        time = np.arange(3200) / 16_000
        parts = [np.sin(2 * np.pi * (500 if alike else TONES[name]) * time) for name in names]
        wave = 0.3 * np.concatenate(parts) + 0.03 * rng.normal(size=3200 * len(names))
        soundfile.write(folder / f"{number}.wav", wave, 16_000)
        alignment = [[0.2 * k + 0.02, 0.2 * k + 0.18, name] for k, name in enumerate(names)]
        row = {"audio": f"{number}.wav", "duration": len(wave) / 16_000, "speaker": f"s{number}"}
        lines.append(json.dumps(row | {"alignment": alignment}))
    path = folder / "list.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return path


def utterance(name: str, *phones: str, seconds: float = 0.5, **known) -> Utterance:
    parts = tuple(Interval(k * seconds, (k + 1) * seconds, phone) for k, phone in enumerate(phones))
    return Utterance(Path(f"{name}.wav"), len(phones) * seconds, alignment=parts, **known)


def test_halves_share_no_speaker_and_have_about_the_same_time() -> None:
    rows = [utterance(f"{n}", "a", "b", "c", speaker=f"s{n % 10}", language=f"l{n % 3}") for n in range(60)]
    found = divide([*rows, Utterance(Path("bare.wav"), 1.0)], "list", 0)
    one, other = ({row.speaker for row in half} for half in (found.train, found.test))
    assert found.units == "speakers"
    assert not one & other
    assert len(found.train) == len(found.test) == 30
    assert found.phones == ("a", "b", "c")
    assert found.covered == 1
    assert [failure.error for failure in found.left_out] == ["bare.wav has no alignment"]
    assert divide(rows, "list", 0).train == found.train
    assert divide(rows, "list", 1).train != found.train


def test_without_speakers_languages_are_kept_apart_and_without_them_recordings() -> None:
    rows = [utterance(f"{n}", "a", "b", language=f"l{n % 8}") for n in range(40)]
    found = divide(rows, "list", 0)
    assert found.units == "languages"
    assert not {row.language for row in found.train} & {row.language for row in found.test}
    few = divide([utterance(f"{n}", "a", "b", language=f"l{n % 7}") for n in range(40)], "list", 0)
    assert few.units == "recordings"


def test_rare_phones_are_no_classes_and_their_share_is_told() -> None:
    rows = [utterance(f"{n}", "a", "b", f"rare{n}", speaker=f"s{n}") for n in range(8)]
    found = divide(rows, "list", 0)
    assert found.phones == ("a", "b")
    assert found.covered == pytest.approx(2 / 3)
    with pytest.raises(ManifestError, match="2 utterances with alignment, and 0 phones of a second"):
        divide(rows[:2], "list", 0)


def test_a_frame_has_the_phone_at_its_centre() -> None:
    piece = Piece(utterance("x", "a", "b", "a", seconds=0.1), 0.0, np.zeros(4800, np.float32))
    for start in (0.0, 0.12):
        piece = Piece(piece.utterance, start, piece.samples)
        wanted = []
        for frame in range(14):
            centre = start + (320 * frame + 200) / 16_000
            heard = [part.label for part in piece.utterance.alignment if part.start <= centre < part.end]
            wanted.append({"a": 1, "b": 0}.get("".join(heard), -1))
        found = label_frames(piece, 14, phones=["b", "a"], hop=320, field=400)
        assert found.tolist() == wanted
    assert label_frames(piece, 14, phones=["b", "z"], hop=320, field=400).max() == 0


def test_phones_that_sound_apart_are_told(pretrained, tmp_path) -> None:
    found = xlsr.probe_features(pretrained, tone_corpus(tmp_path), device="cpu", threads=1)
    assert [one.layer for one in found.of("model")] == [one.layer for one in found.of("random")] == [0, 1, 2]
    (mel,) = found.of("log-mel")
    assert mel.linear.value > 0.99
    assert mel.nearest.value > 0.99
    assert found.best.linear.value > 0.9
    assert found.phones == ("a", "i", "u")
    assert found.majority == pytest.approx(1 / 3, abs=0.02)
    for one in found.results:
        assert one.linear.low <= one.linear.value <= one.linear.high
    # 16 recordings of nine phones of 160 ms, eight frames each: half to learn, half to tell.
    assert found.train_frames == found.test_frames == 8 * 9 * 8


def test_phones_that_sound_alike_are_told_by_chance(pretrained, tmp_path) -> None:
    found = xlsr.probe_features(pretrained, tone_corpus(tmp_path, alike=True), device="cpu", threads=1)
    for one in found.results:
        # 72 phones in the test half: a share of 1/3 has a standard error of 0.056; four of them.
        assert one.linear.value == pytest.approx(1 / 3, abs=0.22)


def test_one_layer_has_the_figures_that_it_has_among_all(pretrained, tmp_path) -> None:
    manifest = tone_corpus(tmp_path)
    every = xlsr.probe_features(pretrained, manifest, device="cpu", threads=1)
    one = xlsr.probe_features(pretrained, manifest, device="cpu", threads=1, layer=2)
    assert one.of("model") == every.of("model")[2:]
    assert one.of("random") == every.of("random")[2:]
    with pytest.raises(ConfigError, match=r"layer is 3; the model has 0 .* to 2"):
        xlsr.probe_features(pretrained, manifest, device="cpu", layer=3)


def test_untrained_weights_are_the_same_each_time_and_leave_the_generator_alone(pretrained) -> None:
    import torch

    encoder = Encoder.load(pretrained, device="cpu")
    before = torch.get_rng_state()
    one, other = (encoder.untrained(0).encoder.state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], other[name]) for name in one)
    name = "encoder.layers.0.attention.k_proj.weight"
    assert not torch.equal(one[name], encoder.encoder.state_dict()[name])


def test_any_checkpoint_can_be_probed_and_the_report_shows_it(finetuned, tmp_path) -> None:
    out = tmp_path / "new" / "out.html"
    found = xlsr.probe_features(finetuned, tone_corpus(tmp_path), device="cpu", threads=1, report=out)
    page = Reader(out.read_text("utf-8"))
    assert "Phones told from single frames" in page.text
    assert sum(tag == "svg" for tag, _ in page.elements) == 1
    assert json.loads(found.to_json())["best_layer"] == found.best.layer


def test_the_command_prints_what_the_function_returns(pretrained, tmp_path) -> None:
    manifest = tone_corpus(tmp_path)
    with manifest.open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps({"audio": "0.wav", "duration": 1.0}))
    done = run("probe-features", manifest, "--model", pretrained, "--device", "cpu", "--threads", 1, "--layer", 1)
    found = xlsr.probe_features(pretrained, manifest, device="cpu", threads=1, layer=1)
    assert done.stdout == found.to_text()
    assert done.returncode == 1
    assert "has no alignment" in done.stderr
    assert found.note in done.stderr
    done = run("probe-features", manifest, "--model", pretrained, "--layer", "most")
    assert done.returncode == 2


def test_real_words_with_times(pretrained, corpora, tmp_path) -> None:
    rows = read_manifest(corpora / "voxangeles" / "manifest.jsonl")
    few = [row for row in rows if row.language in {"ell", "eus", "hil", "kea", "lad", "idu", "efi", "run"}]
    xlsr.write_manifest([row for number, row in enumerate(few) if number % 3 == 0], tmp_path / "few.jsonl")
    found = xlsr.probe_features(pretrained, tmp_path / "few.jsonl", device="cpu", threads=1, layer=1)
    assert found.units == "languages"
    assert "a" in found.phones
    (mel,) = found.of("log-mel")
    assert mel.linear.value > found.majority
