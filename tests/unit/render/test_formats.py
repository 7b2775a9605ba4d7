"""Every format renders a benchmark result and other documents."""

import csv
import io
import json
import re

import pytest
from junitparser import JUnitXml

from cnnshift.catalog import FORMATS
from cnnshift.render.document import LEVELS, Column, Document, Finding, Style, Table, TableCell, worst_first
from cnnshift.render.documents.bench import bench_document
from cnnshift.render.documents.listing import listing_document
from tests.bench_results import DOCUMENT, FOUR, result


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("style", [Style(), Style(80), Style(200)], ids=str)
def test_numbers_are_not_truncated_and_not_coloured(name, style):
    text = FORMATS.load(name)(DOCUMENT, style)
    assert "\x1b" not in text
    assert "…" not in text.replace("1 … 2", "")
    assert text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_without_runs_is_rendered(name):
    assert isinstance(FORMATS.load(name)(bench_document(result()), Style()), str)


def test_colour_is_never_the_only_carrier_of_meaning():
    plain, colored = (FORMATS.load("table")(DOCUMENT, Style(200, color)) for color in (False, True))
    assert "\x1b[" in colored
    assert "100 *" in plain


def test_table_snapshot(snapshot):
    assert FORMATS.load("table")(DOCUMENT, Style()) == snapshot


def test_markdown_snapshot(snapshot):
    assert FORMATS.load("markdown")(DOCUMENT, Style()) == snapshot


def test_csv_has_a_line_per_run_and_metric():
    rows = list(csv.DictReader(io.StringIO(FORMATS.load("csv")(DOCUMENT, Style()))))
    assert len(rows) == 4 * 6
    assert rows[0]["value"] == "0.75"
    assert rows[5] | {"value": "", "ci95_low": "", "reason": "no features"} == rows[5]


def test_jsonl_has_a_line_per_run():
    lines = FORMATS.load("jsonl")(DOCUMENT, Style()).splitlines()
    assert [json.loads(line)["model"] for line in lines] == [run.model for run in FOUR.runs]


NASTY = "a|b*c`d\\e<f>_g, 100 %: x::y\nz\x00#"


FINDINGS = [Finding(level, NASTY, NASTY, NASTY, float(severity)) for severity in range(8) for level in LEVELS]


NASTY_DOCUMENT = Document(
    "test",
    [{"a": NASTY}],
    [{"a": NASTY}],
    tables=[Table(NASTY, [Column(NASTY, [TableCell(NASTY, NASTY)])], NASTY, [NASTY])],
    header=[NASTY],
    footer=[NASTY],
    findings=FINDINGS,
)


def test_github_has_at_most_ten_annotations_worst_first():
    lines = FORMATS.load("github")(NASTY_DOCUMENT, Style()).splitlines()
    commands = [line for line in lines if line.startswith("::")]
    assert len(commands) == 10
    assert [line.split()[0] for line in commands] == ["::error"] * 10
    # One command a line, and nothing in a property that could end it.
    for line in commands:
        command, _, message = line[2:].partition("::")
        assert re.fullmatch(r"error title=[^:,\r\n]*", command)
        assert "%0A" in message
    assert "22 more are not shown." in lines
    assert all(not line.startswith("::") for line in (lines[0], lines[-1]))


def test_worst_first_orders_by_level_then_severity():
    ordered = worst_first(FINDINGS)
    assert [finding.level for finding in ordered[::8]] == list(LEVELS)
    assert [finding.severity for finding in ordered[:8]] == list(range(7, -1, -1))


def test_junit_is_valid_xml():
    xml = JUnitXml.fromstring(FORMATS.load("junit")(NASTY_DOCUMENT, Style()).encode())
    (suite,) = xml
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (40, 8, 8, 8)
    assert next(iter(suite)).name.startswith("a|b*c`d")


def test_markdown_escapes_markup_in_names():
    text = FORMATS.load("markdown")(NASTY_DOCUMENT, Style())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 2 for row in rows)
    assert "<f>" not in text.replace("\\<f\\>", "")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_renders_every_document(name):
    for document in (NASTY_DOCUMENT, listing_document("models", [("cnn", "a network", "")])):
        assert FORMATS.load(name)(document, Style()).strip()


def test_narrow_tables_break_specs_at_commas():
    text = FORMATS.load("table")(DOCUMENT, Style(60))
    assert "params" not in text
    assert "params" in FORMATS.load("table")(DOCUMENT, Style(120))
