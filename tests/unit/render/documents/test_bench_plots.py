"""The plots of a benchmark and the numbers that they show."""

import itertools

import numpy as np
import pytest

from cnnshift.render.document import Curve, HeatMap
from cnnshift.render.documents.bench import bench_document
from cnnshift.results.schema import PhaseTable, RadiusTable, ShiftTable
from tests.factories import SHIFTS, make_outcomes, make_result, make_run

METRICS = {"accuracy": make_outcomes(40, 50)}
CURVES = {
    "radius": [1, 2],
    "pairs": [8, 16],
    "images": [50, 50],
    "accuracy": [0.7, 0.5],
    "consistency": [0.8, 0.6],
    "consistency_ci95": [(0.7, 0.9), (0.5, 0.7)],
    "worst_case_accuracy": [0.4, 0.2],
    "survival": [0.5, 0.3],
    "survival_ci95": [(0.4, 0.6), (0.2, 0.4)],
    "sensitivity": [0.25, 0.75],
}
PHASES = PhaseTable(
    stride=2,
    py=[0, 0, 1],
    px=[0, 1, 0],
    pairs=[1, 1, 1],
    images=[1, 1, 1],
    consistency=[1.0, 0.75, 0.5],
    consistency_ci95=[(0.9, 1.0), (0.6, 0.9), (0.4, 0.6)],
)


def shift_table(consistency, accuracy, shifts=SHIFTS):
    return ShiftTable(
        dy=[dy for dy, _ in shifts],
        dx=[dx for _, dx in shifts],
        accuracy=accuracy,
        consistency=consistency,
        information_loss=[0.0] * len(shifts),
    )


def run(model="cnn", *, metrics=METRICS, spread=0.4, offset=0.0, **changes):
    consistency = np.linspace(0.9 - spread, 0.9, 8)
    fields = {
        "by_shift": shift_table(consistency.tolist(), (consistency - offset).tolist()),
        "by_radius": RadiusTable(**CURVES),
        "by_phase": PHASES,
    }
    return make_run(metrics, model=model, **(fields | changes))


def drawn(*runs, plots=None):
    (table,) = bench_document(make_result(*runs), plots=plots).tables
    return list(table.plots)


def titles(pictures):
    return [picture.title for picture in pictures]


def test_one_model_is_drawn_by_default_and_several_on_request():
    assert drawn(run())
    assert not drawn(run(), plots=False)
    assert not drawn(run(), run("mlp"))
    assert drawn(run(), run("mlp"), plots=True)


def test_one_model_under_two_protocols_is_drawn_for_each():
    tables = bench_document(make_result(run(), run(contract="other"))).tables
    assert all(table.plots for table in tables)


def test_the_map_has_every_shift_except_the_reference():
    found = drawn(run())[0]
    assert isinstance(found, HeatMap)
    assert (found.y, found.x) == ([-1, 0, 1], [-1, 0, 1])
    expected = dict(zip(SHIFTS, np.linspace(0.5, 0.9, 8).tolist(), strict=True))
    for (i, dy), (j, dx) in itertools.product(enumerate(found.y), enumerate(found.x)):
        assert found.values[i][j] == expected.get((dy, dx))
    assert (found.low, found.high) == (0.5, 0.9)
    assert found.missing == "(0, 0) is the reference"


@pytest.mark.parametrize(("offset", "second"), [(0.04, False), (0.06, True)])
def test_accuracy_has_a_map_if_it_differs_from_consistency(offset, second):
    maps = [one for one in drawn(run(offset=offset)) if isinstance(one, HeatMap)]
    assert ("accuracy" in titles(maps)) == second
    if second:
        consistency, accuracy = maps[:2]
        # The unshifted image has an accuracy, but no consistency.
        assert accuracy.values[1][1] == 0.8
        assert (accuracy.low, accuracy.high) == (consistency.low, consistency.high)
        assert accuracy.low == pytest.approx(0.44)


def test_equal_values_are_drawn_on_a_scale_from_0_to_1():
    found = drawn(run(spread=0.0))[0]
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_phase_map_of_one_model():
    found = drawn(run(metrics={"phase_spectrum": np.full(50, 0.25)}))[1]
    assert isinstance(found, HeatMap)
    assert found.title == "consistency by d mod 2, phase gap +25.00 pp"
    assert found.values == [[1.0, 0.75], [0.5, None]]
    assert found.missing == "no shift has this phase"
    # With a stride of 3, only a third of the phases is measured.
    alone, sparse = (PHASES.model_copy(update={"stride": stride}) for stride in (1, 3))
    for without in (PhaseTable(reason="not convolutional"), alone, sparse):
        assert not any("mod" in title for title in titles(drawn(run(by_phase=without))))


def test_curves_of_one_model_share_a_plot():
    shares, sensitivity = drawn(run())[-2:]
    assert isinstance(shares, Curve)
    assert shares.x == [1, 2]
    assert dict(shares.lines) == {
        "accuracy": [0.7, 0.5],
        "worst-case accuracy": [0.4, 0.2],
        "class unchanged": [0.5, 0.3],
    }
    assert (shares.low, shares.high) == (0.0, 1.0)
    assert dict(sensitivity.lines) == {"cnn": [0.25, 0.75]}
    assert (sensitivity.low, sensitivity.high) == (0.0, 0.75)


def test_several_models_share_scales():
    pictures = drawn(run(), run("mlp", spread=0.8), plots=True)
    first, second, *curves = pictures
    assert titles(pictures) == [
        "consistency of cnn",
        "consistency of mlp",
        "accuracy",
        "worst-case accuracy",
        "class unchanged",
        "sensitivity",
    ]
    assert (first.low, first.high) == (second.low, second.high) == (pytest.approx(0.1), 0.9)
    assert all(list(curve.lines) == ["cnn", "mlp"] for curve in curves)


def test_seeds_are_averaged():
    other = {**CURVES, "accuracy": [0.9, 0.7], "sensitivity": [0.75, 0.25]}
    pictures = drawn(run(), run(seed=1, spread=0.6, by_radius=RadiusTable(**other)))
    assert pictures[0].values[0][0] == pytest.approx(0.4)
    assert pictures[-2].lines["accuracy"] == pytest.approx([0.8, 0.6])
    assert pictures[-1].lines["cnn"] == pytest.approx([0.5, 0.5])


def test_random_shifts_have_no_map_and_the_legend_gives_the_reason():
    alone = run(by_shift=ShiftTable(reason="needs the same shifts for every image"))
    (table,) = bench_document(make_result(alone)).tables
    assert not any(title.startswith("consistency") and "mod" not in title for title in titles(table.plots))
    assert table.legend.endswith("no map: needs the same shifts for every image")
    (table,) = bench_document(make_result(alone), plots=False).tables
    assert "no map" not in table.legend


def test_missing_cells_of_sparse_shift_sets_are_explained():
    axis = [(-2, 0), (0, -2), (0, 2), (2, 0)]
    protocol = {"set": "axis", "count": 4, "max_shift": 2, "step": 2}
    found = drawn(run(by_shift=shift_table([0.1, 0.2, 0.3, 0.4], [0.1] * 4, axis), protocol=protocol))[0]
    assert found.values == [[None, 0.1, None], [0.2, None, 0.3], [None, 0.4, None]]
    assert found.missing == "not in the shift set"


def test_results_of_older_versions_are_drawn_without_the_missing_columns():
    old = RadiusTable(**{key: value for key, value in CURVES.items() if key not in ("sensitivity", "survival_ci95")})
    bare = make_run(METRICS, by_shift=run().by_shift, by_radius=old)
    assert titles(drawn(bare)) == ["consistency", "by radius"]
