"""Phone errors by features: PanPhon's distance where a phone is a segment, every alignment tried elsewhere."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr.metrics import (
    FeatureErrors,
    Scored,
    bootstrap_interval,
    compare_corpora,
    feature_errors,
    paired_difference,
    per,
    pfer,
    score_corpus,
    without_features,
)
from xlsr.phones import distance

# 24 times the Hamming feature edit distance of panphon 0.22.2, of random segments of its table.
PANPHON = [
    ("ˀl ɳʷ ʎ̤ʲ ɞ ʀᶣ", "ɲ̤ ˀl ɳʷ ʟˤ ɞ ʀᶣ", 29),
    ("ʏ̘ ʋʲ ʍ̝ ɳ̟ ɣ̟ ɻ̤ː ɖˀ", "ʋʲ ʍ̝ χ ɻ̤ː ʉ̝", 65),
    ("ɘ̥ ɟ̃ː ðᶣ ɯ̈ ø̃", "ɬ̺ ɠˤ k̟ ðᶣ ɯ̈ ø̃", 39),
    ("ʟ̞ ʃː ʊˤ ɰ̞", "ʟ̞ ʃː u̙ ɢˤ ɰ̞", 26),
    ("xʷ", "ɾˀ xʷ", 24),
    ("ɫ̥ j̰ ɱˠ ɔ̰ˠ œ̈ ŋʲ ʈ͡ʂ", "ʋ̥ ɔ̰ˠ ʝˤ ɻ̥ˠ", 89),
    ("ɾ", "ʁ̤", 10),
    ("ʛˤ ʈʲ ɻ̰ʲ ʁʲ ɡ͡ɣˤː", "ɟʷ ʁʲ ʘ̠ ɡ͡ɣˤː", 42),
    ("ɞ̙", "ʒ̤ʲ ɘˤ", 28),
    ("ʈʲ kʰ ɘ̤ ʙʲ", "θ̻ ɳˤ", 60),
    ("ɜ̠ ɵ̆ u̙", "ɜ̠ o̘ u̙", 3),
    ("β̠", "β̠", 0),
    ("ɗⁿ", "ɱ", 8),
    ("ʙˀ ǃ̠ ɡ̤ˤ ɑ̯", "ʙˀ ǃ̠ ʘʼ ʝʲː ɘˤ", 31),
    ("ʀ̥ mˀ", "ʀ̥ m̥", 2),
    ("ʝˤ βːˤ", "ʀˀ βːˤ", 6),
    ("ʟˤ œ̈ ɤ̝", "ʟˤ œ̈ ʑː ɤ̝", 24),
    ("ɻ̰ʲ ʀˀ ɘ̥ n̪ʷː ǁʲː ɠˤ q͡χ̠", "ɹ̺ ˀɢ n̪ʷː lˀ ǁʲː", 71),
    ("βːˤ ʌ̃ t̪͡θʷˠ t̪͡s̪ʰʲ", "ʌ̃ ʀ ɵ̆", 51),
    ("ɔ̝ ɫ̺ ʙʲ", "o̞ ɔ̝ ɫ̺ ʙʲ", 24),
]
ALPHABET = ["a", "aɪ", "tʰ", "☃"]
transcriptions = st.lists(st.sampled_from([*ALPHABET, "t", "t͡ʃ", "i", "☂"]), max_size=7).map(" ".join)


def shortest(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> float:
    """The least cost of all alignments, each of them tried."""
    if not reference or not hypothesis:
        return len(reference) + len(hypothesis)
    return min(
        shortest(reference[1:], hypothesis[1:]) + distance(reference[0], hypothesis[0]),
        shortest(reference[1:], hypothesis) + 1,
        shortest(reference, hypothesis[1:]) + 1,
    )


@pytest.mark.parametrize(("reference", "hypothesis", "differing"), PANPHON)
def test_segments_have_the_edit_distance_of_panphon(reference: str, hypothesis: str, differing: int) -> None:
    (found,) = feature_errors([reference], [hypothesis])
    assert found.errors == pytest.approx(differing / 24, abs=1e-9)  # sums of fractions
    assert found.length == len(reference.split())


def test_no_alignment_is_better_than_the_one_found() -> None:
    sequences = [sequence for length in range(4) for sequence in product(ALPHABET, repeat=length)]
    pairs = [(one, other) for one in sequences[::2] for other in sequences[1::3]]
    found = feature_errors([" ".join(one) for one, _ in pairs], [" ".join(other) for _, other in pairs])
    assert len(pairs) == 43 * 28
    assert [one.errors for one in found] == pytest.approx([shortest(*pair) for pair in pairs], abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(transcriptions, transcriptions)
def test_pfer_is_symmetric_and_never_above_per(reference: str, hypothesis: str) -> None:
    (there,), (back,) = feature_errors([reference], [hypothesis]), feature_errors([hypothesis], [reference])
    assert there.errors == pytest.approx(back.errors, abs=1e-9)
    assert there.errors >= abs(len(reference.split()) - len(hypothesis.split()))
    assert pfer(reference, hypothesis) <= per(reference, hypothesis) + 1e-9
    assert pfer(reference, reference) == 0


@given(st.lists(st.sampled_from("☃☂☎"), max_size=6), st.lists(st.sampled_from("☃☂☎"), max_size=6))
def test_phones_without_features_count_as_in_per(reference: list[str], hypothesis: list[str]) -> None:
    pair = " ".join(reference), " ".join(hypothesis)
    assert pfer(*pair) == pytest.approx(per(*pair), abs=1e-9)


def test_a_corpus_is_all_errors_by_all_phones() -> None:
    references, hypotheses = ["t a", "d", ""], ["d a", "", "a"]
    found = feature_errors(references, hypotheses)
    assert found == (FeatureErrors(pytest.approx(1 / 24), 2), FeatureErrors(1, 1), FeatureErrors(1, 0))
    assert pfer(references, hypotheses) == pytest.approx((2 + 1 / 24) / 3)
    assert found[2].rate == 1  # as jiwer counts an empty reference
    assert feature_errors([], []) == ()
    with pytest.raises(ValueError, match="1 references but 2 hypotheses"):
        pfer(["a"], ["a", "b"])


def test_a_summary_of_phones_has_both_rates_with_intervals() -> None:
    scored = [Scored(f"{i}", "t a n", "d a n" if i % 2 else "t a", 1.0, f"s{i % 12}") for i in range(24)]
    summary = score_corpus(scored, tokens="phones")
    rate = summary.rate("PFER")
    assert rate.value == pytest.approx((12 + 12 / 24) / 72)
    assert (rate.interval.unit, rate.interval.units) == ("speakers", 12)
    assert rate.interval.low < rate.value < rate.interval.high
    assert rate.interval == bootstrap_interval(
        feature_errors([one.reference for one in scored], [one.hypothesis for one in scored]),
        [one.speaker for one in scored],
    )
    assert set(summary.confusions) == {"PER"}
    fields = summary.to_dict()["total"]["rates"]
    assert fields["PFER"]["errors"] == pytest.approx(12.5)
    assert (
        fields["PFER"]["length"] == fields["PER"]["hits"] + fields["PER"]["substitutions"] + fields["PER"]["deletions"]
    )


def test_a_near_phone_is_a_smaller_difference_than_a_far_one() -> None:
    near = [Scored(f"{i}", "t a", "d a", 1.0, f"s{i}") for i in range(12)]
    far = [Scored(f"{i}", "t a", "o a", 1.0, f"s{i}") for i in range(12)]
    found = compare_corpora(near, far, tokens="phones")
    assert found["PER"].difference == 0
    assert found["PFER"].difference == pytest.approx((distance("t", "o") - 1 / 24) / 2)
    assert found["PFER"].interval.low > 0
    assert found["PFER"].p_matched_pairs < 0.01


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=9))
def test_tests_of_pairs_are_the_same_in_tenths(pairs: list[tuple[int, int]]) -> None:
    """Sums such as 0.3 - 0.1 - 0.2 are not 0 in floating point, but count as what they stand for."""
    whole, tenths = (
        paired_difference(*([FeatureErrors(pair[side] * unit, 5) for pair in pairs] for side in (0, 1)), resamples=300)
        for unit in (1, 0.1)
    )
    assert (tenths.p_bootstrap, tenths.p_matched_pairs) == (whole.p_bootstrap, whole.p_matched_pairs)
    assert tenths.difference == pytest.approx(whole.difference / 10, abs=1e-9)
    assert tenths.interval.low == pytest.approx(whole.interval.low / 10, abs=1e-9)


def test_phones_without_features_are_named() -> None:
    scored = [Scored("a", "t ☃ a", "t ☂ a", 1.0, "ann"), Scored("b", "t ☃", "t a", 1.0, "bob")]
    summary = score_corpus(scored, tokens="phones")
    assert summary.without_features == ("☂", "☃") == without_features(["t ☃", "☂ a"])
    assert summary.note.endswith("; 2 phones without known features count as in PER: ☂ ☃")
    assert summary.to_dict()["without_features"] == ["☂", "☃"]
    assert "☂ ☃" in summary.to_markdown()
    many = score_corpus([Scored("a", " ".join(map(chr, range(0x2600, 0x2630))), "", 1.0)], tokens="phones")
    assert many.note.startswith("one utterance gives no interval; 48 phones")
    assert many.note.endswith(" ...")
    assert len(many.without_features) == 48
    assert score_corpus(scored).without_features == ()  # words have no features
