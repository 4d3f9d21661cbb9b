"""Segments that come one by one are those that all the words would give."""

from hypothesis import given
from hypothesis import strategies as st

from xlsr.decoding.segments import complete_segments
from xlsr.results import Character, Word, split_segments

GAPS = st.lists(st.floats(0, 4), max_size=40)


def words_with(gaps: list[float]) -> list[Word]:
    words, now = [], 0.0
    for gap in gaps:
        words.append(Word("a", now + gap, now + gap + 1, 0.5, (Character("a", now + gap, now + gap + 1, 0.5),)))
        now = words[-1].end
    return words


@given(gaps=GAPS, sizes=st.lists(st.integers(0, 5), min_size=1), are_phones=st.booleans())
def test_segments_are_those_of_all_the_words(gaps, sizes, are_phones) -> None:
    words = words_with(gaps)
    parts, start = [], 0
    for size in sizes:
        parts.append(words[start : start + size])
        start += size
    parts.append(words[start:])
    found = tuple(complete_segments(parts, "char", are_phones=are_phones))
    assert found == split_segments(words, are_phones=are_phones)


def test_a_segment_comes_with_the_word_after_it() -> None:
    taken = []

    def parts():
        for word in words_with([0, 0, 3, 0]):
            taken.append(word)
            yield [word]

    first = next(complete_segments(parts(), "word", are_phones=False))
    assert (first.text, len(taken)) == ("a a", 3)
    assert first.words[0].characters == ()


def test_without_times_a_segment_keeps_its_own() -> None:
    (segment,) = complete_segments([words_with([1, 0])], "none", are_phones=False)
    assert (segment.start, segment.end, segment.words) == (1, 3, ())
