"""The documented tables are those of the code."""

from . import language_tables


def test_tables_are_up_to_date():
    page = language_tables.PAGE.read_text(encoding="utf-8")
    assert language_tables.filled(page) == page


def test_every_table_is_there():
    page = language_tables.PAGE.read_text(encoding="utf-8")
    for name in language_tables.TABLES:
        start, end = language_tables.markers(name)
        assert page.count(start) == 1
        assert page.partition(start)[2].partition(end)[0].count("\n") > 5
