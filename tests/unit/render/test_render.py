"""Writers: what each format says about one small result."""

import csv
import io
import json
import re
from fractions import Fraction

import numpy as np
import pytest
from junitparser import JUnitXml

from cnnshift.catalog import FORMATS
from cnnshift.render.document import LEVELS, Column, Document, Finding, Table, TableCell, worst_first
from cnnshift.render.documents.bench import bench_document
from cnnshift.render.documents.bench_summary import summarize
from cnnshift.render.documents.listing import listing_document
from cnnshift.render.numbers import percent
from cnnshift.render.style import Style
from cnnshift.results.aggregate import group_by_contract, seed_mean
from cnnshift.results.packing import pack
from cnnshift.results.schema import (
    DatasetRecord,
    EngineRecord,
    MetricResult,
    ProtocolRecord,
    RadiusTable,
    Result,
    Run,
    ShiftTable,
    Timing,
    TrainingRecord,
)


def metric(id, value, *, unit="fraction", ci95=None, per_image=None, reason=""):
    return MetricResult(
        id=id,
        version=1,
        title=id.replace("_", " "),
        value=value,
        ci95=ci95,
        unit=unit,
        bounds=(0, 1),
        higher_is_better=True,
        n=0 if value is None else 4,
        reason=reason,
        per_image=None if per_image is None else pack(np.array(per_image)),
    )


def run(
    model="cnn",
    seed=0,
    *,
    consistency=0.5,
    protocol="circular",
    kappa=0.4,
    accuracy=(0.8, 0.4),
    options=None,
    augment="none",
):
    per_image = [1.0, 1.0, 1.0, 0.0] if seed == 0 else [1.0, 0.0, 1.0, 0.0]
    return Run(
        model=model,
        family=model.partition(":")[0],
        family_version=1,
        options=options or {},
        params=1234,
        flops=1e6,
        weights_digest="0" * 64,
        seed=seed,
        training=TrainingRecord(recipe={"augment": augment}, cached=False, final_loss=0.1),
        dataset=DatasetRecord(name="toy", version="1", split="test", n=4, size=(8, 8), fingerprint="f"),
        protocol=ProtocolRecord(
            name=protocol, set="grid", max_shift=2, step=1, count=24, exhaustive=True, information_loss=0.125
        ),
        contract=protocol,
        metrics=[
            metric("accuracy", float(np.mean(per_image)), ci95=(0.2, 0.99), per_image=per_image),
            metric("shifted_accuracy", 0.6, ci95=(0.5, 0.7)),
            metric("reference_consistency", consistency, ci95=(consistency / 2, 1.0)),
            metric("pairwise_consistency", consistency, ci95=(consistency / 2, 1.0)),
            metric("kappa", kappa, unit=""),
            metric("feature_cosine", None, reason="no features"),
        ],
        predictions=None,
        engine=None,
        by_shift=ShiftTable(reason="left out"),
        by_radius=RadiusTable(
            radius=[1, 2],
            pairs=[32, 64],
            images=[4, 4],
            accuracy=list(accuracy),
            consistency=[0.9, 0.5],
            consistency_ci95=[(0.8, 1.0), (0.4, 0.6)],
            worst_case_accuracy=[0.5, 0.25],
            survival=[0.5, 0.25],
        ),
        timing=Timing(compile_seconds=1, train_seconds=1, sweep_seconds=1, images_per_second=5000),
    )


def result(*runs):
    return Result(status="complete", created="now", cnnshift_version="0", config={}, environment={}, runs=list(runs))


FOUR = result(
    run(),
    run("cnn:augment=shift1", augment="shift1", accuracy=(0.9, 0.5)),
    run("cnn:pool=aps", options={"pool": "aps"}, consistency=1.0),
    run(protocol="zero"),
)


SAID = bench_document(FOUR)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("style", [Style(), Style(80), Style(200)], ids=str)
def test_no_colour_no_cut_numbers(name, style):
    text = FORMATS.load(name)(SAID, style)
    assert "\x1b" not in text
    assert "…" not in text.replace("1 … 2", "")
    assert text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_without_runs_is_rendered(name):
    assert isinstance(FORMATS.load(name)(bench_document(result()), Style()), str)


def test_colour_is_never_the_only_carrier():
    plain, colored = (FORMATS.load("table")(SAID, Style(200, color)) for color in (False, True))
    assert "\x1b[" in colored
    assert "100 *" in plain


def test_table_snapshot(snapshot):
    assert FORMATS.load("table")(SAID, Style()) == snapshot


def test_markdown_snapshot(snapshot):
    assert FORMATS.load("markdown")(SAID, Style()) == snapshot


def test_csv_has_a_line_per_run_and_metric():
    rows = list(csv.DictReader(io.StringIO(FORMATS.load("csv")(SAID, Style()))))
    assert len(rows) == 4 * 6
    assert rows[0]["value"] == "0.75"
    assert rows[5] | {"value": "", "ci95_low": "", "reason": "no features"} == rows[5]


def test_jsonl_has_a_line_per_run():
    lines = FORMATS.load("jsonl")(SAID, Style()).splitlines()
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


def test_github_has_ten_annotations_worst_first():
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


def test_junit_is_read_back():
    xml = JUnitXml.fromstring(FORMATS.load("junit")(NASTY_DOCUMENT, Style()).encode())
    (suite,) = xml
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (40, 8, 8, 8)
    assert next(iter(suite)).name.startswith("a|b*c`d")


def test_markdown_takes_no_markup_from_names():
    text = FORMATS.load("markdown")(NASTY_DOCUMENT, Style())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 2 for row in rows)
    assert "<f>" not in text.replace("\\<f\\>", "")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_every_document(name):
    for document in (NASTY_DOCUMENT, listing_document("models", [("cnn", "a network", "")])):
        assert FORMATS.load(name)(document, Style()).strip()


def test_narrow_tables_break_specs_at_commas():
    text = FORMATS.load("table")(SAID, Style(60))
    assert "params" not in text
    assert "params" in FORMATS.load("table")(SAID, Style(120))


def test_seeds_are_combined_by_image():
    group = group_by_contract(result(run(seed=0), run(seed=1)))[0]
    (row,) = group.models
    combined = seed_mean(row.runs, "accuracy")
    assert combined.value == pytest.approx(0.625)
    assert combined.seed_sd == pytest.approx(np.std([0.75, 0.5], ddof=1))
    assert combined.ci95[0] < 0.625 < combined.ci95[1]
    assert seed_mean(row.runs, "shifted_accuracy").ci95 is None
    assert seed_mean(row.runs, "feature_cosine") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "100"),
        (0.5, "50.0"),
        (0.99951, "99.95"),
        (0.999999, ">99.999"),
        (1e-7, "<0.001"),
        (0.0004, "0.04"),
        (-0.0, "0"),
        (-0.5, "−50.0"),
        (-0.99951, "−99.95"),
        (-1.0, "−100"),
        (-1e-7, ">−0.001"),
    ],
)
def test_only_exact_values_read_as_0_or_100(value, text):
    assert percent(value) == text


def test_the_answer_is_made_of_the_numbers():
    said = " ".join(summarize(group_by_contract(FOUR)[0]))
    assert "No: moving an image by up to 2 px changes the class that cnn gives in 50.0 % of cases [0, 75.0]" in said
    assert "augment=shift1 50.0 → 50.0 %" in said
    assert "pool=aps 50.0 → 100 %" in said
    assert "(|d| = 1) from 80.0 to 90.0 %, and outside (|d| = 2) from 40.0 to 50.0 %" in said
    assert "cnn:pool=aps is exactly invariant on every shift tested (4 images × 24 shifts)" in said


def test_a_constant_classifier_is_not_praised():
    said = " ".join(summarize(group_by_contract(result(run(consistency=1.0, kappa=0.0)))[0]))
    assert "exactly invariant" not in said
    assert "one class to every image" in said


def test_an_invariant_network_is_not_told_no():
    said = " ".join(summarize(group_by_contract(result(run(consistency=1.0)))[0]))
    assert said.startswith("Yes, here")


def with_predictions(classes, *, engine=None):
    classes = np.array(classes)
    everywhere = run().protocol.model_copy(update={"set": "full", "count": classes.shape[1] - 1})
    shifts = ShiftTable(
        dy=[-1, 0, 0], dx=[0, 1, -2], accuracy=[1.0] * 3, consistency=[1.0] * 3, information_loss=[0.0] * 3
    )
    return run().model_copy(
        update={"protocol": everywhere, "predictions": pack(classes), "by_shift": shifts, "engine": engine}
    )


def test_a_certificate_counts_images_and_passes():
    one = with_predictions([[3] * 4, [1] * 4, [0] * 4, [2] * 4], engine=EngineRecord(name="shared", forwards=4 * 17))
    said = summarize(group_by_contract(result(one))[0])
    assert "cnn is invariant to all 4 circular shifts: 4 of 4 images (17 forward passes each)." in said


def test_a_counter_example_is_the_nearest_change():
    one = with_predictions([[3] * 4, [1, 1, 1, 9], [0, 0, 5, 0], [2] * 4])
    said = " ".join(summarize(group_by_contract(result(one))[0]))
    assert (
        "cnn is not invariant: 2 of 4 images keep their class at all 4 circular shifts; image 2 changes at "
        "(dy=0, dx=1): class 0 → 5."
    ) in said
    assert "exactly invariant" not in said


def fractional():
    one = run(protocol="fourier")
    protocol = one.protocol.model_copy(update={"step": Fraction(1, 3), "max_shift": Fraction(5, 3)})
    radii = one.by_radius.model_copy(update={"radius": [1 / 3, 5 / 3]})
    return one.model_copy(update={"protocol": protocol, "by_radius": radii})


def test_fractions_of_a_pixel_are_shown_as_fractions():
    document = bench_document(result(fractional()))
    text = FORMATS.load("markdown")(document, Style())
    assert "toy · 4 test images × 24 shifts \\[fourier, \\|d\\|≤5/3, step 1/3\\]**" in text
    assert "accuracy at \\|d\\| = 1/3 … 5/3" in text
    assert "No: moving an image by up to 5/3 px in steps of 1/3 px changes the class" in text
    records = document.records
    assert {(one["max_shift"], one["step"]) for one in records} == {("5/3", "1/3")}
    assert ",5/3,1/3," in FORMATS.load("csv")(document, Style())
    (line,) = FORMATS.load("jsonl")(document, Style()).splitlines()[:1]
    assert json.loads(line)["protocol"]["step"] == "1/3"


def test_full_says_that_it_has_whole_pixels_only_where_there_are_others():
    one = with_predictions([[3] * 4, [1] * 4, [0] * 4, [2] * 4])
    elsewhere = one.model_copy(update={"protocol": one.protocol.model_copy(update={"name": "fourier"})})
    said = summarize(group_by_contract(result(elsewhere))[0])
    assert "cnn is invariant to all 4 shifts by whole pixels: 4 of 4 images." in said


def test_seeds_count_alike_whatever_number_of_images_counts_in_them():
    nan = float("nan")
    one, other = run(seed=0), run(seed=1)
    partial = [
        run.model_copy(update={"metrics": [metric("partial", float(np.nanmean(values)), per_image=values)]})
        for run, values in ((one, [1.0, 0.5, nan, nan]), (other, [0.0, nan, 0.25, nan]))
    ]
    combined = seed_mean(partial, "partial")
    # The mean over the seeds of the metric, as `compare` shows it too.
    assert combined.value == pytest.approx(np.mean([0.75, 0.125]))
    assert combined.n == 3
    assert combined.ci95[0] <= combined.value <= combined.ci95[1]


def test_changes_are_said_against_the_plainest_row_that_differs_in_one_option():
    models = ({}, {"pool": "stride"}, {"pool": "avg"}, {"pool": "avg", "head": "gap"})
    runs = [
        run(f"cnn:{number}", options=options, consistency=0.5 + number / 10) for number, options in enumerate(models)
    ]
    (group,) = group_by_contract(result(*runs))
    (said,) = [sentence for sentence in summarize(group) if sentence.startswith("One change")]
    assert said == (
        "One change at a time moves the consistency: pool=stride 50.0 → 60.0 %; pool=avg 50.0 → 70.0 %; "
        "head=gap 70.0 → 80.0 %."
    )
