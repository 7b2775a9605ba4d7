"""Every format renders a small benchmark result and other documents."""

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
    PhaseTable,
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
            name=protocol,
            wraps=protocol in ("circular", "fourier"),
            set="grid",
            max_shift=2,
            step=1,
            count=24,
            exhaustive=True,
            information_loss=0.125,
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


def result(*runs, metrics=()):
    config = {"metrics": list(metrics)}
    return Result(
        status="complete", created="now", cnnshift_version="0", config=config, environment={}, runs=list(runs)
    )


FOUR = result(
    run(),
    run("cnn:augment=shift1", augment="shift1", accuracy=(0.9, 0.5)),
    run("cnn:pool=aps", options={"pool": "aps"}, consistency=1.0),
    run(protocol="zero"),
    metrics=[metric.id for metric in run().metrics],
)
DOCUMENT = bench_document(FOUR)


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


def test_the_headline_metrics_are_shown_unless_others_were_selected():
    def headings(*metrics):
        (table,) = bench_document(result(run(), metrics=metrics)).tables
        return [column.heading.partition(" [")[0] for column in table.columns]

    assert headings()[:4] == ["model", "accuracy %", "shifted accuracy %", "pairwise consistency %"]
    assert headings("kappa") == ["model", "kappa", "params", "images/s"]


def test_the_title_states_the_information_loss_of_protocols_that_do_not_wrap():
    wraps, other = run(protocol="plugin"), run(protocol="plugin")
    wraps = wraps.model_copy(update={"protocol": wraps.protocol.model_copy(update={"wraps": True})})
    for one, lost in ((wraps, False), (other, True)):
        assert ("energy lost" in bench_document(result(one)).tables[0].title) == lost


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


def test_seeds_are_averaged_by_image():
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
def test_only_exact_values_are_shown_as_0_or_100(value, text):
    assert percent(value) == text


def sentences(*runs):
    (group, *_) = group_by_contract(result(*runs))
    return summarize(group)


def test_the_summary_states_the_numbers_of_the_table():
    changed, options, augmentation, stable = sentences(*FOUR.runs)
    assert changed == (
        "cnn: 50.0 % [0, 75.0] of the predictions change under shifts of up to 2 px; accuracy is 75.0 % without shifts "
        "and 60.0 % with shifts (circular, 4 images × 24 shifts)."
    )
    assert options.startswith("Pairwise consistency after changing one option: augment=shift1 50.0 → 50.0 %; ")
    assert options.endswith("; pool=aps 50.0 → 100 %.")
    assert augmentation == (
        "Training cnn with shifts of up to 1 px changes its accuracy at |d| = 1, inside the trained range, from "
        "80.0 to 90.0 %, and at |d| = 2, outside it, from 40.0 to 50.0 %."
    )
    assert stable == "cnn:pool=aps predicts the same class at every tested shift (circular, 4 images × 24 shifts)."


def test_a_constant_classifier_is_reported_as_such():
    (sentence,) = sentences(run(consistency=1.0, kappa=0.0))
    assert sentence == "cnn predicts one class for all images (kappa 0), so that consistency is trivial."


def test_without_kappa_a_consistency_of_1_is_not_interpreted():
    assert sentences(run(consistency=1.0, kappa=None)) == []


def test_a_stable_model_changes_no_prediction():
    assert sentences(run(consistency=1.0))[0] == (
        "cnn: no prediction changes under shifts of up to 2 px (circular, 4 images × 24 shifts)."
    )


def trained(**changes):
    one = run(**changes)
    return one.model_copy(update={"training": one.training.model_copy(update={"recipe": {"epochs": 2}})})


def test_the_summary_states_the_number_of_training_runs():
    assert sentences(trained())[0].endswith("(circular, 4 images × 24 shifts, 1 training run).")
    assert sentences(trained(), trained(seed=1))[0].endswith("(circular, 4 images × 24 shifts, 2 training runs).")


def test_the_summary_starts_with_a_model_with_spatial_features():
    dense = run("mlp")
    spatial = run("cnn").model_copy(update={"by_phase": PhaseTable(stride=4)})
    external = run("onnx").model_copy(update={"family_version": None})
    for runs, first in (((dense, spatial), "cnn"), ((dense, external), "onnx"), ((dense,), "mlp")):
        assert sentences(*runs)[0].startswith(f"{first}: ")


def with_predictions(classes, *, engine=None):
    classes = np.array(classes)
    everywhere = run().protocol.model_copy(update={"set": "full", "count": classes.shape[1] - 1})
    shifts = ShiftTable(
        dy=[-1, 0, 0], dx=[0, 1, -2], accuracy=[1.0] * 3, consistency=[1.0] * 3, information_loss=[0.0] * 3
    )
    return run().model_copy(
        update={"protocol": everywhere, "predictions": pack(classes), "by_shift": shifts, "engine": engine}
    )


def test_a_run_over_all_shifts_counts_images_and_forward_passes():
    engine = EngineRecord(name="shared", forward_passes=4 * 17)
    one = with_predictions([[3] * 4, [1] * 4, [0] * 4, [2] * 4], engine=engine)
    assert (
        "cnn: the predicted class of 4 of 4 images is the same at all 4 circular shifts (17 forward passes per image)."
    ) in sentences(one)


def test_a_run_over_all_shifts_names_the_smallest_shift_that_changes_a_prediction():
    one = with_predictions([[3] * 4, [1, 1, 1, 9], [0, 0, 5, 0], [2] * 4])
    assert sentences(one)[-1] == (
        "cnn: the predicted class of 2 of 4 images is the same at all 4 circular shifts; the smallest shift that "
        "changes a prediction is (dy=0, dx=1): image 2, class 0 → 5."
    )
    assert not any("predicts the same class" in sentence for sentence in sentences(one))


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
    assert "of the predictions change under shifts of up to 5/3 px in steps of 1/3 px" in text
    records = document.records
    assert {(one["max_shift"], one["step"]) for one in records} == {("5/3", "1/3")}
    assert ",5/3,1/3," in FORMATS.load("csv")(document, Style())
    (line,) = FORMATS.load("jsonl")(document, Style()).splitlines()[:1]
    assert json.loads(line)["protocol"]["step"] == "1/3"


def test_the_shift_set_full_holds_whole_pixels_of_fractional_protocols():
    one = with_predictions([[3] * 4, [1] * 4, [0] * 4, [2] * 4])
    elsewhere = one.model_copy(update={"protocol": one.protocol.model_copy(update={"name": "fourier"})})
    sentence = "cnn: the predicted class of 4 of 4 images is the same at all 4 shifts by whole pixels."
    assert sentence in sentences(elsewhere)


def test_seeds_have_equal_weights_for_any_number_of_counted_images():
    nan = float("nan")
    one, other = run(seed=0), run(seed=1)
    partial = [
        run.model_copy(update={"metrics": [metric("partial", float(np.nanmean(values)), per_image=values)]})
        for run, values in ((one, [1.0, 0.5, nan, nan]), (other, [0.0, nan, 0.25, nan]))
    ]
    combined = seed_mean(partial, "partial")
    # As in `compare`.
    assert combined.value == pytest.approx(np.mean([0.75, 0.125]))
    assert combined.n == 3
    assert combined.ci95[0] <= combined.value <= combined.ci95[1]


def test_option_effects_refer_to_the_simplest_model_that_differs_in_one_option():
    models = ({}, {"pool": "stride"}, {"pool": "avg"}, {"pool": "avg", "head": "gap"})
    runs = [
        run(f"cnn:{number}", options=options, consistency=0.5 + number / 10) for number, options in enumerate(models)
    ]
    (effects,) = [sentence for sentence in sentences(*runs) if "changing one option" in sentence]
    assert effects == (
        "Pairwise consistency after changing one option: pool=stride 50.0 → 60.0 %; pool=avg 50.0 → 70.0 %; "
        "head=gap 70.0 → 80.0 %."
    )
