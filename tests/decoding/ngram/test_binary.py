"""`.ngram` files: they hold the same model, packed nearly the same, and nothing that is damaged is ever walked."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding.ngram.test_arpa import scores
from tests.decoding.ngram.test_lookup import GAPS, SMALL, written
from xlsr.decoding.ngram import NGram
from xlsr.decoding.ngram.binary import _quantized, write_binary
from xlsr.decoding.ngram.build import build_lm
from xlsr.decoding.ngram.score import score_lm
from xlsr.errors import LanguageModelError


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> NGram:
    return NGram.load(written(tmp_path_factory.mktemp("arpa"), "# unit: word\n# of two lines\n" + SMALL))


@pytest.mark.parametrize("quantize", [False, True], ids=["mapped", "packed"])
@pytest.mark.parametrize("text", [SMALL, GAPS], ids=["closed", "gaps"])
def test_what_is_written_comes_back(text, quantize, tmp_path) -> None:
    model = NGram.load(written(tmp_path, text))
    model.save(tmp_path / "lm.ngram", quantize=quantize)
    again = NGram.load(tmp_path / "lm.ngram")
    assert (again.words, again.counts, again.unit, again.comment) == (model.words, model.counts, "char", "")
    assert scores(again) == scores(model), "a few values are kept as they are"
    for name, values in model.arrays._asdict().items():
        np.testing.assert_array_equal(getattr(again.arrays, name), values, err_msg=name)


def test_a_mapped_file_is_not_changed_by_what_is_done_to_the_arrays(model, tmp_path) -> None:
    model.save(tmp_path / "lm.ngram")
    before = (tmp_path / "lm.ngram").read_bytes()
    again = NGram.load(tmp_path / "lm.ngram")
    again.arrays.log_prob[:] = 0
    assert (tmp_path / "lm.ngram").read_bytes() == before


def test_quantised_values_hardly_change_a_perplexity(corpora, tmp_path) -> None:
    text = corpora / "text" / "eng_genesis.txt"
    whole = build_lm([text], tmp_path / "lm.ngram", prune=(0, 0, 1))
    packed = build_lm([text], tmp_path / "packed.ngram", prune=(0, 0, 1), quantize=True)
    words = sum(len(word) + 1 for word in NGram.load(tmp_path / "lm.ngram").words)
    ones, twos, threes = packed.kept
    assert packed.bytes < words + 3 * ones + 5 * twos + 3 * threes + 10_000  # codebooks, header
    assert packed.bytes < whole.bytes / 8
    other = corpora / "text" / "eng_us_inaugural_addresses.txt"
    exact, near = (score_lm(tmp_path / name, [other]).perplexity for name in ("lm.ngram", "packed.ngram"))
    assert near == pytest.approx(exact, rel=0.005)


@given(st.lists(st.floats(-30, 0, width=32), min_size=1, max_size=2000), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_each_value_becomes_the_nearest_of_256_and_zero_stays_zero(values, zeros) -> None:
    array = np.array(values + [0.0] * zeros, np.float32)
    codes, book = _quantized(array)
    assert codes.dtype == np.uint8
    assert len(book) == 256
    found = book[codes]
    assert ((found == 0) == (array == 0)).all()
    if len(np.unique(array)) <= 256:
        np.testing.assert_array_equal(found, array)
    other = array != 0
    nearest = np.abs(array[other, None] - book[book != 0]).min(axis=1, initial=100)
    np.testing.assert_allclose(np.abs(array - found)[other], nearest, atol=1e-5)


def header_of(data: bytes) -> dict:
    return json.loads(data[16 : 16 + struct.unpack("<I", data[12:16])[0]])


def with_header(data: bytes, **changes) -> bytes:
    """The same sections after a changed header."""
    (length,) = struct.unpack("<I", data[12:16])
    text = json.dumps(header_of(data) | changes).encode()
    body = data[16 + length + -(16 + length) % 64 :]
    start = data[:12] + struct.pack("<I", len(text)) + text
    return start + bytes(-len(start) % 64) + body


@pytest.mark.parametrize("quantize", [False, True], ids=["mapped", "packed"])
def test_a_file_that_is_cut_off_or_too_long_is_refused(model, quantize, tmp_path) -> None:
    path = tmp_path / "lm.ngram"
    model.save(path, quantize=quantize)
    data = path.read_bytes()
    for kept in [*range(9, len(data), 37), len(data) - 1]:
        path.write_bytes(data[:kept])
        with pytest.raises(LanguageModelError, match="is damaged"):
            NGram.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(LanguageModelError, match="1 bytes follow its last section"):
        NGram.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": [6, 5]},
        {"counts": []},
        {"counts": [6, 5, -2]},
        {"counts": [6, 5, 2**60]},
        {"counts": "652"},
        {"layout": "pickle"},
        {"unit": "phone"},
        {"sections": {}},
        {"sections": {"words": ["object", 4]}},
        {"sections": {"words": ["uint8", 2**39]}},
        {"sections": {"words": ["uint8", 1.5]}},
        {"sections": [1, 2]},
    ],
    ids=str,
)
@pytest.mark.parametrize("quantize", [False, True], ids=["mapped", "packed"])
def test_a_header_that_does_not_fit_is_refused(model, changes, quantize, tmp_path) -> None:
    path = tmp_path / "lm.ngram"
    model.save(path, quantize=quantize)
    path.write_bytes(with_header(path.read_bytes(), **changes))
    with pytest.raises(LanguageModelError, match="is damaged"):
        NGram.load(path)


def test_a_later_version_is_refused(model, tmp_path) -> None:
    path = tmp_path / "lm.ngram"
    model.save(path)
    data = path.read_bytes()
    path.write_bytes(data[:8] + struct.pack("<I", 2) + data[12:])
    with pytest.raises(LanguageModelError, match="has version 2 of the format; this xlsr reads 1: update it"):
        NGram.load(path)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("suffix", 9, 9), ("suffix", 9, -1), ("suffix", 9, 10**6), ("children", 0, 10**6), ("children", 0, -1),
        ("is_state", 0, 0), ("log_prob", 3, math.nan), ("backoff", 3, -math.inf), ("slots", slice(None), 5),
    ],
)  # fmt: skip
def test_arrays_that_compiled_loops_would_run_away_on_are_refused(model, name, place, value, tmp_path) -> None:
    arrays = model.arrays._replace(**{name: getattr(model.arrays, name).copy()})
    getattr(arrays, name)[place] = value
    write_binary(NGram(arrays, model.words, model.counts, "word", ""), tmp_path / "lm.ngram")
    with pytest.raises(LanguageModelError, match="is damaged"):
        NGram.load(tmp_path / "lm.ngram")


def test_words_that_are_missing_or_doubled_are_refused(model, tmp_path) -> None:
    for words in [("a", *model.words[1:]), (*model.words[:-1], "a"), model.words[:-1]]:
        write_binary(NGram(model.arrays, words, model.counts, "word", ""), tmp_path / "lm.ngram")
        with pytest.raises(LanguageModelError, match="is damaged"):
            NGram.load(tmp_path / "lm.ngram")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("quantize", [False, True], ids=["mapped", "packed"])
def test_a_changed_byte_is_refused_or_does_no_harm(model, quantize, data, tmp_path_factory) -> None:
    path = tmp_path_factory.getbasetemp() / f"changed-{quantize}.ngram"
    model.save(path, quantize=quantize)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        changed = NGram.load(path)
    except LanguageModelError:
        return
    assert all(map(math.isfinite, scores(changed)))
