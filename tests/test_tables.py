"""Tables line up, and their cells cannot break out of them."""

from xlsr.tables import Table

TABLE = Table(("", "WER"), (("日本", "1.0%"), ("a|<b>\nc", "9.0% [8, 10]")))


def test_columns_line_up_in_a_terminal() -> None:
    assert TABLE.to_text() == "                  WER\n日本             1.0%\na|<b> c  9.0% [8, 10]\n"


def test_markup_is_escaped_in_markdown() -> None:
    assert TABLE.to_markdown().splitlines() == [
        "|  | WER |",
        "| --- | ---: |",
        "| 日本 | 1.0% |",
        r"| a\|&lt;b> c | 9.0% [8, 10] |",
    ]


def test_a_name_becomes_no_link() -> None:
    assert Table(("[a](b)",), ()).to_markdown().startswith(r"| [a]\(b) |")
