"""Tokenizer against recorded vectors, transformers' two classes and its own round trips."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.errors import TokenizerError
from xlsr.tokenizer import Tokenizer

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_uppercase, "'"]
PHONES = ["<pad>", "<s>", "</s>", "<unk>", "m", "ɪ", "s", "t", "ɚ", "oʊ", "aɪ", "u\u0303"]


def write_folder(folder: Path, vocab: object, config: object = None, **others: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"vocab": vocab, "tokenizer_config": config, **others}
    for name, content in files.items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, object]:
    return json.loads((reference / "golden" / "tokenizer_golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def letters(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("letters")
    shutil.copy(reference / "configs" / "vocab_base_960h.json", folder / "vocab.json")
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def phones(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("phones")
    shutil.copy(reference / "configs" / "vocab_espeak_cv_ft.json", folder / "vocab.json")
    config = {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer", "word_delimiter_token": "|", "do_phonemize": True}
    return Tokenizer.from_folder(write_folder(folder, None, config))


@pytest.fixture(scope="module")
def letter_peer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, object]:
    from transformers import Wav2Vec2CTCTokenizer

    folder = tmp_path_factory.mktemp("letter_peer")
    ours = Tokenizer.from_symbols([*LETTERS, "CH", "CHA", "u\u0303"])
    ours.to_folder(folder)
    return ours, Wav2Vec2CTCTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def phone_peer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, object]:
    from transformers import Wav2Vec2PhonemeCTCTokenizer

    folder = tmp_path_factory.mktemp("phone_peer")
    ours = Tokenizer.from_symbols(PHONES, is_phones=True)
    ours.to_folder(folder)
    return ours, Wav2Vec2PhonemeCTCTokenizer.from_pretrained(folder)


# recorded vectors


def test_letters_encode_as_recorded(letters: Tokenizer, golden: dict[str, object]) -> None:
    assert letters.encode("HELLO WORLD") == golden["encode HELLO WORLD"]
    assert letters.encode("IT'S é") == golden["encode it's <unk>é"]


def test_letters_decode_as_recorded(letters: Tokenizer, golden: dict[str, object]) -> None:
    assert letters.decode(golden["ids"]) == golden["decode"]
    assert letters.decode(golden["ids"], group=False) == golden["decode_nogroup"]
    assert letters.decode([0] * 5) == golden["empty_allblank"]


def test_special_symbols_stay_in_decoded_text(letters: Tokenizer, golden: dict[str, object]) -> None:
    assert letters.decode(letters.encode("<s>HE</s><unk>"), group=False) == golden["decode_keep_special"]


def test_phones_encode_as_recorded(phones: Tokenizer, golden: dict[str, object]) -> None:
    assert phones.encode("m ɪ s t ɚ") == golden["phoneme encode 'm ɪ s t ɚ'"]
    assert phones.encode("maɪ c") == golden["phoneme encode 'maɪ c'"]


def test_phones_decode_as_recorded(phones: Tokenizer, golden: dict[str, object]) -> None:
    assert phones.encode(phones.decode(golden["seed_ids"], group=False)) == golden["seed_ids"]
    ids = [i for phone in ["m", "m", "<pad>", "ɪ", "s", "s", "<pad>", "s", "t", "uː"] for i in phones.encode(phone)]
    assert phones.decode(ids) == golden["phoneme decode"]


def test_no_ids_are_no_text(letters: Tokenizer, phones: Tokenizer) -> None:
    assert letters.decode([]) == phones.decode([]) == ""
    assert letters.encode("") == phones.encode(" ") == []


def test_released_phone_model_names_a_delimiter_it_does_not_have(phones: Tokenizer) -> None:
    assert phones.is_phones
    assert phones.word_delimiter is None
    assert phones.size == 392


# transformers


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([*string.ascii_uppercase, "'", " ", "é", "1", "CHA", "CH", "<s>", "<pad>", "|", "u\u0303"])
    )
)
def test_letters_encode_as_transformers(letter_peer: tuple[Tokenizer, object], pieces: list[str]) -> None:
    ours, theirs = letter_peer
    assert ours.encode("".join(pieces)) == theirs("".join(pieces)).input_ids


@settings(max_examples=150, deadline=None)
@given(ids=st.lists(st.integers(0, len(LETTERS) + 2)), group=st.booleans())
def test_letters_decode_as_transformers(letter_peer: tuple[Tokenizer, object], ids: list[int], group: bool) -> None:
    ours, theirs = letter_peer
    assert ours.decode(ids, group=group) == theirs.decode(ids, group_tokens=group)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*PHONES, "x", "maɪ", ""])).map(" ".join))
def test_phones_encode_as_transformers(phone_peer: tuple[Tokenizer, object], text: str) -> None:
    ours, theirs = phone_peer
    assert ours.encode(text) == theirs(text).input_ids


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, len(PHONES) - 1), min_size=1), group=st.booleans())
def test_phones_decode_as_transformers(phone_peer: tuple[Tokenizer, object], ids: list[int], group: bool) -> None:
    ours, theirs = phone_peer
    assert ours.decode(ids, group=group) == theirs.decode(ids, group_tokens=group)


def test_lowercase_behaves_as_in_transformers(tmp_path: Path) -> None:
    from transformers import Wav2Vec2CTCTokenizer

    ours = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", *"ACÇDENRSTUV"], lowercase=True)
    ours.to_folder(tmp_path)
    theirs = Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    for text in ("straße", "Ça va und", "STRASSE"):
        assert ours.encode(text) == theirs(text).input_ids
        assert ours.decode(ours.encode(text), group=False) == theirs.decode(theirs(text).input_ids, group_tokens=False)
    assert ours.decode(ours.encode("Ça va"), group=False) == "ça va"


def test_a_folder_of_transformers_reads_the_same(tmp_path: Path) -> None:
    from transformers import Wav2Vec2CTCTokenizer

    vocab = {"a": 0, "b": 1, "|": 2, "[UNK]": 3, "[PAD]": 4}
    write_folder(tmp_path / "in", vocab)
    theirs = Wav2Vec2CTCTokenizer(str(tmp_path / "in" / "vocab.json"), unk_token="[UNK]", pad_token="[PAD]")
    theirs.save_pretrained(tmp_path / "out")
    ours = Tokenizer.from_folder(tmp_path / "out")
    assert ours.blank_id == theirs.pad_token_id == 4
    assert ours.unk_id == theirs.unk_token_id == 3
    assert ours.vocab == theirs.get_vocab()  # "<s>" and "</s>", which transformers adds, included
    assert ours.size == len(theirs) == 7
    assert ours.encode("ab cé<s>") == theirs("ab cé<s>").input_ids


def test_nested_vocabulary_behaves_as_in_transformers(tmp_path: Path) -> None:
    from transformers import Wav2Vec2CTCTokenizer

    base = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4}
    write_folder(tmp_path / "in", {"eng": {**base, "a": 5, "b": 6}, "deu": {**base, "ä": 5, "a": 6}})
    Tokenizer.from_folder(tmp_path / "in", language="deu").to_folder(tmp_path / "out")
    theirs = Wav2Vec2CTCTokenizer.from_pretrained(tmp_path / "out")
    ours = Tokenizer.from_folder(tmp_path / "out")
    assert ours.language == theirs.target_lang == "deu"
    assert ours.languages == ("eng", "deu")
    assert ours.encode("aä b") == theirs("aä b").input_ids == [6, 5, 4, 3]


# round trips


@settings(max_examples=50, deadline=None)
@given(st.permutations(PHONES[4:]), st.lists(st.sampled_from(PHONES[4:])))
def test_phones_survive_a_round_trip(order: list[str], spoken: list[str]) -> None:
    ours = Tokenizer.from_symbols([*order, "<pad>"], is_phones=True)
    assert ours.blank_id == len(order)
    assert ours.decode(ours.encode(" ".join(spoken)), group=False) == " ".join(spoken)


def test_files_survive_a_round_trip_with_unknown_keys(tmp_path: Path) -> None:
    token = {"content": "[PAD]", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    files = {
        "vocab": {"ä": 0, "|": 1, "[PAD]": 2},
        "config": {"processor_class": "Wav2Vec2Processor", "model_max_length": 10**30, "new": {"a": [1, None]}},
        "special_tokens_map": {"pad_token": token, "unk_token": None},
        "added_tokens": {"<s>": 3},
    }
    write_folder(tmp_path / "in", **files)
    first = Tokenizer.from_folder(tmp_path / "in")
    first.to_folder(tmp_path / "out")
    for path in (tmp_path / "in").iterdir():
        assert json.loads((tmp_path / "out" / path.name).read_bytes()) == json.loads(path.read_bytes())
    assert Tokenizer.from_folder(tmp_path / "out") == first
    assert (first.blank_id, first.unk_id, first.size) == (2, None, 4)


def test_files_that_are_not_there_are_not_written(tmp_path: Path) -> None:
    Tokenizer.from_folder(write_folder(tmp_path / "in", {"<pad>": 0, "|": 1, "a": 2})).to_folder(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"vocab.json", "tokenizer_config.json"}


# rules


def test_grouping_precedes_blank_removal() -> None:
    ours = Tokenizer.from_symbols(["<pad>", "L", "O"])
    assert ours.decode([1, 1, 0, 1, 2]) == "LLO"


def test_blank_is_the_models_padding_id_first(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"a": 0, "|": 1, "[PAD]": 2, "b": 3}, {"pad_token": "[PAD]"})
    assert Tokenizer.from_folder(folder).blank_id == 2
    assert Tokenizer.from_folder(folder, pad_token_id=3).blank_id == 3


def test_longest_symbol_is_matched_first() -> None:
    ours = Tokenizer.from_symbols(["<pad>", "t", "ts", "tsh", "h", "s", "|"])
    assert ours.encode("tshts t") == [3, 2, 1]  # as in transformers, long symbols swallow the spaces around them


def test_a_delimiter_of_several_characters_stands_for_a_space() -> None:
    ours = Tokenizer.from_symbols(["<pad>", "<sp>", "a"], word_delimiter="<sp>")
    assert ours.encode("a a") == [2, 1, 2]
    assert ours.decode([2, 1, 2]) == "a a"


def test_phone_delimiter_is_left_out_of_text() -> None:
    ours = Tokenizer.from_symbols(["<pad>", "|", "a", "b"], is_phones=True, word_delimiter="|")
    assert ours.encode("a b | a") == [2, 3, 1, 2]
    assert ours.decode([2, 3, 1, 2]) == "a b a"


def test_older_folders_without_a_class_are_recognised(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"<pad>": 0, "a": 1}, {"phonemizer_lang": "en-us"})
    assert Tokenizer.from_folder(folder).is_phones


def test_unknown_character_without_unknown_symbol_is_named() -> None:
    with pytest.raises(TokenizerError, match="the character 'b' is not in the vocabulary of 2 symbols"):
        Tokenizer.from_symbols(["<pad>", "a"]).encode("ab")
    with pytest.raises(TokenizerError, match="the phone 'ab'"):
        Tokenizer.from_symbols(["<pad>", "a"], is_phones=True).encode("a ab")


def test_unknown_id_is_named() -> None:
    with pytest.raises(TokenizerError, match="no symbol has id 7"):
        Tokenizer.from_symbols(["<pad>", "a"]).decode([1, 7])


def test_unknown_language_lists_near_names(tmp_path: Path) -> None:
    inner = {"<pad>": 0, "|": 1}
    folder = write_folder(tmp_path, dict.fromkeys(["deu", "eng", "fra", "kor"], inner))
    with pytest.raises(TokenizerError, match=r"'en' is not among the 4 .* near names are 'eng'"):
        Tokenizer.from_folder(folder, language="en")
    with pytest.raises(TokenizerError, match=r"'zzz' is not among the 4 .* for example, 'deu'"):
        Tokenizer.from_folder(folder, language="zzz")
    with pytest.raises(TokenizerError, match="choose one of the 4 languages"):
        Tokenizer.from_folder(folder)


def test_one_languages_symbols_go_before_added_tokens(tmp_path: Path) -> None:
    config = {"target_lang": "deu", "added_tokens_decoder": {"2": {"content": "<x>"}, "3": {"content": "<y>"}}}
    folder = write_folder(tmp_path, {"deu": {"<pad>": 0, "|": 1, "ä": 2}}, config)
    assert Tokenizer.from_folder(folder).vocab == {"<pad>": 0, "|": 1, "ä": 2, "<y>": 3}


@pytest.mark.parametrize(
    ("vocab", "others", "message"),
    [
        ({"<pad>": 0, "|": 1, "a": 1}, {}, "gives id 1 to '|' and to 'a'"),
        ({"<pad>": 0, "|": "1"}, {}, "gives '|' the id '1'"),
        ({"<pad>": 0, "|": -1}, {}, "gives '|' the id -1"),
        ({"<pad>": 0, "|": True}, {}, "the id True"),
        ({}, {}, "is empty"),
        ({"eng": {"<pad>": 0}, "a": 1}, {}, "mixes ids and languages"),
        ({"|": 0, "a": 1}, {}, "the CTC blank, is '<pad>', but the vocabulary does not hold it"),
        ({"|": 0}, {"config": {"pad_token": None}}, "the CTC blank, is None"),
        ({"<pad>": 0, "a": 1}, {}, "the word delimiter is '|'"),
        ({"<pad>": 0, "|": 1}, {"config": {"tokenizer_class": "BertTokenizer"}}, "'BertTokenizer'; wanted"),
        ({"<pad>": 0, "|": 1}, {"config": {"pad_token": 3}}, "a special token is 3"),
        ({"<pad>": 0, "|": 1}, {"added_tokens": {"<s>": 1}}, "'<s>' has id 1, but in vocab.json 1 is '|'"),
        ({"<pad>": 0, "|": 1}, {"added_tokens": {"|": 2}}, "'|' has id 2, but in vocab.json '|' is 1"),
        ({"<pad>": 0, "|": 1}, {"added_tokens": {"<s>": "x"}}, "has the id 'x'"),
        ([1], {}, "holds a list: wanted a JSON object"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, vocab: object, others: dict[str, object], message: str) -> None:
    folder = write_folder(tmp_path, vocab, **others)
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.from_folder(folder)
    assert message in str(caught.value)


def test_repeated_and_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "a": 1, "a": 2}')
    with pytest.raises(TokenizerError, match="holds 'a' more than once"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(TokenizerError, match="cannot be read as JSON"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(TokenizerError, match=r"has no vocab\.json"):
        Tokenizer.from_folder(tmp_path)


def test_wrong_calls_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"<pad>": 0, "|": 1})
    with pytest.raises(TokenizerError, match="leave the language 'eng' out"):
        Tokenizer.from_folder(folder, language="eng")
    with pytest.raises(TokenizerError, match="pad_token_id, the CTC blank, is 9"):
        Tokenizer.from_folder(folder, pad_token_id=9)
    with pytest.raises(TokenizerError, match="holds 'a' more than once"):
        Tokenizer.from_symbols(["<pad>", "a", "a"])
    with pytest.raises(TokenizerError, match="the CTC blank, is '<pad>'"):
        Tokenizer.from_symbols(["a"])
