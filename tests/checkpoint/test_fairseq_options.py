"""The convolutions of fairseq's options are read by a grammar: what Python would give, or a refusal."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.checkpoint.fairseq_options import parse_conv_layers
from xlsr.errors import CheckpointError

SIZES = st.integers(0, 999_999)
LISTS = st.lists(st.tuples(SIZES, SIZES, SIZES), max_size=4)
TERMS = st.tuples(LISTS, st.sampled_from(["", "before", "after", "both"]), st.integers(0, 3), st.integers(0, 3))
SPACE = st.sampled_from(["", " ", "  "])


@given(st.lists(TERMS, min_size=1, max_size=4), SPACE, st.booleans())
def test_convolutions_are_read_as_python_would(terms: list, space: str, trailing: bool) -> None:
    texts, wanted = [], []
    for members, where, before, after in terms:
        inner = f"{space},{space}".join(f"({space}{a},{space}{b}{space},{c})" for a, b, c in members)
        text = f"[{space}{inner}{',' if trailing and members else ''}{space}]"
        times = 1
        if where in ("before", "both"):
            text, times = f"{before}{space}*{space}{text}", times * before
        if where in ("after", "both"):
            text, times = f"{text}{space}*{space}{after}", times * after
        texts.append(text)
        wanted += members * times
    text = f"{space}+{space}".join(texts)
    if len(wanted) > 64:
        with pytest.raises(CheckpointError, match="more than 64"):
            parse_conv_layers(text, "a.pt")
    else:
        assert parse_conv_layers(text, "a.pt") == wanted


@given(st.text("[]()+*, 0123456789\n", max_size=40) | st.text(max_size=20))
def test_other_text_is_read_or_refused(text: str) -> None:
    with suppress(CheckpointError):
        assert all(len(layer) == 3 for layer in parse_conv_layers(text, "a.pt"))


@pytest.mark.parametrize(
    "text",
    [
        "", "[(512, 10)]", "[(512, 10, 5, 1)]", "[(512, 10, 5)] - [(1, 1, 1)]", "[(512, 10, 5)", "(512, 10, 5)",
        "[(512, -1, 5)]", "[(5.0, 1, 1)]", "[(512, 10, 5)] * 4 * 2", "[(1, 1, 1)] * 1000", "[(1, 1, 1)] * 999",
        "[x for x in ()]", "[(512, 10, 5)] +", "+", "[(1,1,1)]" + " " * 10_000, "[[(1, 1, 1)]]", "[(1,1,1) (1,1,1)]",
        "[(٣, 1, 1)]", "exit()",
    ],
)  # fmt: skip
def test_convolutions_outside_the_grammar_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"a.pt: conv_feature_layers"):
        parse_conv_layers(text, "a.pt")


@pytest.mark.parametrize(
    "text",
    [
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] * 2",
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]",
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + 2 * [(512,2,2)]",
    ],
)
def test_the_released_convolutions(text: str) -> None:
    wanted = [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]
    assert parse_conv_layers(text, "a.pt") == wanted
