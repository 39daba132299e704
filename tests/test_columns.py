"""Plain tables for a terminal."""

from __future__ import annotations

from murine.columns import cell, table


def test_values_as_they_stand_in_a_table() -> None:
    values = (None, True, False, 12345, 0.12345, "x")
    assert [cell(value) for value in values] == ["-", "yes", "no", "12,345", "0.123", "x"]


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    rows = [("groom", 1234, None), ("eat", 5, 0.5)]
    assert table(("behaviour", "frames", "F1"), rows).splitlines() == [
        "behaviour  frames     F1",
        "---------  ------  -----",
        "groom       1,234      -",
        "eat             5  0.500",
    ]


def test_the_caller_may_say_what_stands_where_and_leave_out_the_rule() -> None:
    rows = [("one", "10 %", "a"), ("two", "5 %", "bb")]
    drawn = table(("name", "share", "note"), rows, right=(False, True, False), ruled=False)
    assert drawn.splitlines() == ["name  share  note", "one    10 %  a", "two     5 %  bb"]


def test_a_table_without_rows_is_its_heading() -> None:
    assert table(("name", "n"), []) == "name  n\n----  -"
