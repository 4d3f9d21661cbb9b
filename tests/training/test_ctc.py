"""Where fine-tuning starts, and what it learns: what is kept is kept exactly, and what is drawn afresh is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers

import xlsr
from tests.checkpoint import fairseq_files
from tests.models import ARCHITECTURES, CONFORMER, tiny, transformers_model
from xlsr.checkpoint.folder import Description
from xlsr.checkpoint.hf import save
from xlsr.config import Wav2Vec2Config
from xlsr.errors import RecipeError, TrainingError
from xlsr.model.pretraining import Wav2Vec2ForPreTraining
from xlsr.tokenizer import Tokenizer
from xlsr.training.ctc import CTCTask
from xlsr.training.distributed import Ranks
from xlsr.training.finetune import finetune
from xlsr.training.recipe import FinetuneRecipe, read_recipe

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
CAPITALS = Tokenizer.from_symbols([*SPECIAL, "|", "A", "B", "C"])
SMALL = Tokenizer.from_symbols([*SPECIAL, "|", "a", "b", "c"])
EXTRAS = {"name": "First", "license": "MIT", "language": "eng", "calibration": {"of": "other scores"}}
ROWS = (("ab ca", "tʃ aɪ"), ("ba", "aɪ s"), ("Cab", "s tʃ s"))


@pytest.fixture
def recipe(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for index, (text, phones) in enumerate(ROWS):
        soundfile.write(tmp_path / f"{index}.wav", 0.1 * rng.standard_normal(9600).astype("float32"), 16_000)
        rows.append({"audio": f"{index}.wav", "duration": 0.6, "text": text, "phones": phones})
    (tmp_path / "all.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "recipe.toml").write_text(
        '[data]\ntrain = "all.jsonl"\ndev = "all.jsonl"\n[optim]\nupdates = 2\n[run]\neval_every = 2\nthreads = 1\n'
    )
    return tmp_path / "recipe.toml"


def task(recipe: Path, **overrides) -> CTCTask:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return CTCTask(read_recipe(recipe, FinetuneRecipe, dotted))


def fine_tuned(folder: Path, tokenizer: Tokenizer | None = SMALL, **changes) -> torch.nn.Module:
    model = tiny("large", **changes)
    save(Description(model.config, tokenizer, {"do_normalize": False}, EXTRAS), model, folder)
    return model


def assert_kept(kept: torch.nn.Module, source: torch.nn.Module, *, but: set[str] = frozenset()) -> None:
    """The tensors of the encoder are the source's, bit for bit; so is the head unless it is excepted."""
    theirs = source.state_dict()
    for name, value in kept.state_dict().items():
        if name.partition(".")[0] not in but and name.removeprefix("wav2vec2.") not in but:
            assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize("is_named", [False, True])
def test_a_fine_tuned_model_keeps_its_head_and_its_vocabulary(recipe, tmp_path, is_named: bool) -> None:
    source = fine_tuned(tmp_path / "first")
    SMALL.to_folder(tmp_path / "same")
    named = {"data__vocabulary": str(tmp_path / "same")} if is_named else {}
    found = task(recipe, model__start=str(tmp_path / "first"), **named)
    assert_kept(found.network, source)
    assert found.tokenizer.vocab == SMALL.vocab
    assert found.start.notes == (f"starts from {tmp_path / 'first'}: {len(source.state_dict())} tensors kept",)


def test_a_start_is_relative_to_the_recipe(recipe, tmp_path) -> None:
    fine_tuned(tmp_path / "first")
    recipe.write_text(recipe.read_text() + '[model]\nstart = "first"\n')
    assert task(recipe).recipe.model.start == str(tmp_path / "first")


def test_a_hub_name_stays_a_name_unless_a_folder_has_it(recipe, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = {"model.start": "facebook/wav2vec2-base"}
    assert read_recipe(recipe, FinetuneRecipe, name).model.start == "facebook/wav2vec2-base"
    (tmp_path / "facebook" / "wav2vec2-base").mkdir(parents=True)
    assert read_recipe(recipe, FinetuneRecipe, name).model.start == str(tmp_path / "facebook" / "wav2vec2-base")
    with pytest.raises(RecipeError, match="a model is wanted"):
        read_recipe(recipe, FinetuneRecipe, {"model.start": 3})


def test_another_vocabulary_has_a_fresh_head_on_the_same_encoder(recipe, tmp_path) -> None:
    source = fine_tuned(tmp_path / "first")
    Tokenizer.from_symbols([*"cab", "<unk>", "|", "<pad>"]).to_folder(tmp_path / "other")
    found = task(recipe, model__start=str(tmp_path / "first"), data__vocabulary=str(tmp_path / "other"))
    assert_kept(found.network, source, but={"lm_head"})
    config = found.network.config
    assert (config.vocab_size, config.pad_token_id, config.bos_token_id) == (6, 5, None)
    assert found.start.notes[1:] == ("left aside of it: lm_head", "drawn afresh: lm_head")
    assert found.description.extras == {"license": "MIT", "start": "first"}
    assert not found.description.normalizes


def test_a_new_head_has_the_symbols_of_the_texts(recipe, tmp_path) -> None:
    fine_tuned(tmp_path / "first", CAPITALS)
    start = {"model__start": str(tmp_path / "first"), "model__new_head": True}
    found = task(recipe, **start)
    assert list(found.tokenizer.vocab) == [*SPECIAL, "|", "a", "b", "c"]
    again, other = task(recipe, **start), task(recipe, **start, run__seed=1)
    assert torch.equal(found.network.lm_head.weight, again.network.lm_head.weight)
    assert not torch.equal(found.network.lm_head.weight, other.network.lm_head.weight)
    assert found.network.lm_head.weight.detach().std().item() == pytest.approx(
        0.02, rel=0.2
    )  # initializer_range, of 256 numbers
    assert not found.network.lm_head.bias.any()


def test_texts_follow_a_vocabulary_of_capitals(recipe, tmp_path) -> None:
    fine_tuned(tmp_path / "first", CAPITALS)
    found = task(recipe, model__start=str(tmp_path / "first"))
    assert found.load(0, [0, 2]).labels == ([5, 6, 4, 7, 5], [7, 5, 6])
    assert found.start.notes[-1] == "texts are put into capitals, as the vocabulary has no other letters"
    with pytest.raises(TrainingError, match="outside the vocabulary': 3"):
        task(recipe, model__start=str(tmp_path / "first"), data__case="lower")


@pytest.mark.parametrize("format", ["huggingface", "fairseq"])
def test_a_pretrained_encoder_gets_a_head(recipe, tmp_path, format: str) -> None:
    if format == "huggingface":
        torch.manual_seed(0)
        source = Wav2Vec2ForPreTraining(Wav2Vec2Config.from_dict(ARCHITECTURES["large"]))
        save(Description(source.config, preprocessor={"do_normalize": False}), source, tmp_path / "pre")
        path = tmp_path / "pre"
    else:
        source = tiny("large")
        path = fairseq_files.write(tmp_path / "pre.pt", source, "cfg", is_finetuned=False)
    free = {"layerdrop": 0.3, "initializer_range": 0.05}
    found = task(recipe, model__start=str(path), model__architecture=free)
    assert_kept(found.network, source, but={"lm_head"})
    assert (found.network.config.layerdrop, found.network.config.initializer_range) == (0.3, 0.05)
    with pytest.raises(TrainingError, match=r"model\.architecture\.hidden_size cannot change it"):
        task(recipe, model__start=str(path), model__architecture={"hidden_size": 8})
    assert found.description.normalizes == (format == "fairseq")
    assert found.start.notes[1:] == (
        "left aside of it: project_hid, project_q, quantizer",
        "drawn afresh: lm_head",
    )


def test_an_encoder_alone_gets_a_head_in_every_family(recipe, tmp_path) -> None:
    source = transformers_model(CONFORMER, "Model", position_embeddings_type="rotary")
    source.save_pretrained(tmp_path / "encoder")
    found = task(recipe, model__start=str(tmp_path / "encoder"))
    theirs = source.state_dict()
    for name, value in found.network.wav2vec2.state_dict().items():
        assert torch.equal(value, theirs[name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1")]), name  # fmt: skip
    assert found.start.notes[1:] == ("drawn afresh: lm_head",)


def test_a_mask_embedding_that_a_start_lacks_is_drawn_and_named(recipe, tmp_path) -> None:
    unmasked = transformers_model(ARCHITECTURES["large"], "Model", mask_time_prob=0.0)
    unmasked.save_pretrained(tmp_path / "encoder")
    found = task(recipe, model__start=str(tmp_path / "encoder"), model__architecture={"mask_time_prob": 0.2})
    assert found.start.notes[1:] == ("drawn afresh: lm_head, masked_spec_embed",)
    assert 0 <= found.network.wav2vec2.masked_spec_embed.min() <= found.network.wav2vec2.masked_spec_embed.max() < 1


def test_a_head_without_a_vocabulary_is_not_guessed_at(recipe, tmp_path) -> None:
    fine_tuned(tmp_path / "first", None)
    with pytest.raises(TrainingError, match=r"no vocab\.json.*new_head = true"):
        task(recipe, model__start=str(tmp_path / "first"))
    assert task(recipe, model__start=str(tmp_path / "first"), model__new_head=True).tokenizer.size == 8


def test_letters_and_phones_are_not_mixed_up(recipe, tmp_path) -> None:
    fine_tuned(tmp_path / "first")
    with pytest.raises(TrainingError, match=r"targets is phones, but .* has a vocabulary of letters"):
        task(recipe, model__start=str(tmp_path / "first"), data__targets="phones")
    Tokenizer.from_symbols([*SPECIAL, "tʃ"], is_phones=True).to_folder(tmp_path / "phones")
    with pytest.raises(TrainingError, match=r"targets is text, but .* has a vocabulary of phones"):
        task(recipe, model__start=str(tmp_path / "first"), data__vocabulary=str(tmp_path / "phones"))


def test_a_bare_list_of_phones_is_a_vocabulary(recipe, tmp_path) -> None:
    fine_tuned(tmp_path / "first")
    (tmp_path / "phones.d").mkdir()
    vocab = {symbol: index for index, symbol in enumerate([*SPECIAL, "aɪ", "tʃ", "s"])}
    (tmp_path / "phones.d" / "vocab.json").write_text(json.dumps(vocab))
    vocabulary = str(tmp_path / "phones.d" / "vocab.json")
    found = task(recipe, model__start=str(tmp_path / "first"), data__targets="phones", data__vocabulary=vocabulary)
    assert found.load(0, [0, 1]).labels == ([5, 4], [4, 6])


def test_utterances_that_are_not_spelt_as_they_are_are_dropped_and_named(recipe, tmp_path, capsys) -> None:
    row = {"audio": "0.wav", "duration": 0.6, "text": "a|b"}
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, [row, row | {"text": "ab"}])))
    finetune(recipe, tmp_path / "run", overrides={"model.architecture": dict(ARCHITECTURES["large"])})
    said = " ".join(capsys.readouterr().err.split())
    assert "1 training utterances dropped: labels that do not spell the text" in said
    assert "'a|b' for '|'" in said
    report = json.loads((tmp_path / "run" / "vocabulary_report.json").read_text("utf-8"))
    assert (report["size"], report["case"], report["notes"]) == (7, "lower", ["every weight is drawn afresh"])
    assert report["training"]["symbols"] == {"a": 2, "b": 2, "|": 1}
    assert report["development"]["failed"] == {"a|b": ["|"]}
    before = (tmp_path / "run" / "vocabulary_report.json").read_bytes()
    with pytest.raises(TrainingError, match="already holds a run"):
        finetune(
            recipe,
            tmp_path / "run",
            overrides={"model.architecture": dict(ARCHITECTURES["large"]), "data.case": "keep"},
        )
    assert (tmp_path / "run" / "vocabulary_report.json").read_bytes() == before


def test_phones_are_learnt_saved_and_transcribed_with_spaces(recipe, tmp_path) -> None:
    source = fine_tuned(tmp_path / "first")
    overrides = {"model.start": str(tmp_path / "first"), "model.new_head": True, "data.targets": "phones"}
    result = finetune(recipe, tmp_path / "run", overrides=overrides)
    assert list(result.figures) == ["per"]
    folder = tmp_path / "run" / "best"
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    processor = transformers.Wav2Vec2PhonemeCTCTokenizer.from_pretrained(folder)
    assert processor("tʃ aɪ").input_ids == Tokenizer.from_folder(folder).encode("tʃ aɪ")
    model = xlsr.load_model(folder, engine="torch")
    with torch.no_grad():  # a head that has learnt nothing would say nothing: let every phone be heard
        for head in (theirs.lm_head, model.engine.model.lm_head):
            head.weight.normal_(generator=torch.Generator().manual_seed(0))
            head.bias[:4] = -1e4
    wave, _ = soundfile.read(tmp_path / "0.wav", dtype="float32")
    text = model.transcribe(wave).text
    with torch.no_grad():
        ids = theirs(torch.from_numpy(wave)[None]).logits.argmax(-1)[0]
    assert text == processor.decode(ids)
    assert set(text.split()) <= {"tʃ", "aɪ", "s"}
    assert " " in text
    assert source.config.vocab_size == 8 != theirs.config.vocab_size


def test_the_phone_error_rate_is_of_phones(recipe, tmp_path) -> None:
    fine_tuned(tmp_path / "first")
    found = task(recipe, model__start=str(tmp_path / "first"), model__new_head=True, data__targets="phones")
    found.model.eval()
    with torch.no_grad():  # always "s": right once in "aɪ s", "s tʃ s", never in "tʃ aɪ"
        found.network.lm_head.weight.zero_()
        found.network.lm_head.bias.zero_()[found.tokenizer.vocab["s"]] = 5
    evaluation = found.evaluate(Ranks())
    assert evaluation.figures == {"per": pytest.approx(5 / 7)}
    assert set(evaluation.samples) == {(phones, "s") for _, phones in ROWS}
