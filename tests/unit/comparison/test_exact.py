"""Exact comparison: the same weights must give the same predictions."""

import numpy as np
import pytest

from cnnshift.render.documents.comparison import comparison_document
from tests.comparing import PLAIN, against, next_step
from tests.factories import make_outcomes, make_run

CLASSES = np.arange(200 * 9).reshape(200, 9) % 7


def exactly(**changes):
    fields = {"predictions": CLASSES} | changes
    return make_run({"accuracy": make_outcomes(150)}, **fields)


def test_one_flipped_prediction_is_found():
    flipped = CLASSES.copy()
    flipped[17, 3] = 9
    flipped[120, 0] = 8
    flipped[120, 5:7] = 8
    found = against(exactly(), exactly(predictions=flipped), exact=True)
    assert found.status == "failed"
    first, second = found.changed_predictions
    # Column 0 is the unshifted image; column 3 is the third shift.
    assert (first.image, first.shifts, first.shift) == (17, 1, (-1, 1))
    assert (first.baseline_class, first.candidate_class) == (CLASSES[17, 3], 9)
    assert (second.image, second.shifts, second.shift) == (120, 3, (0, 0))
    document = comparison_document(found)
    assert "2 images with changed predictions" in document.header[0]
    assert "image 17" in next_step(found)
    assert sum(finding.level == "failure" for finding in document.findings) == 2
    assert against(exactly(), exactly(predictions=flipped)).status == "passed"


def test_random_shifts_are_not_named():
    changes = {"by_shift": type(PLAIN.by_shift)(reason="left out")}
    flipped = CLASSES.copy()
    flipped[3, 4] = 9
    found = against(exactly(**changes), exactly(predictions=flipped, **changes), exact=True)
    assert found.changed_predictions[0].shift is None
    assert "a random shift of the image" in next_step(found)


def test_fractional_shifts_are_shown_as_fractions():
    table = PLAIN.by_shift.model_copy(update={"dy": [dy / 3 for dy in PLAIN.by_shift.dy]})
    flipped = CLASSES.copy()
    flipped[3, 1] = 9
    found = against(exactly(by_shift=table), exactly(predictions=flipped, by_shift=table), exact=True)
    assert found.changed_predictions[0].shift == (-1 / 3, -1)
    assert "(dy=-1/3, dx=-1)" in next_step(found)


def test_equal_predictions_pass():
    found = against(exactly(), exactly(), exact=True)
    assert (found.status, found.changed_predictions) == ("passed", [])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (exactly(weights_digest="1" * 64), "exact comparison: the weights of seed 0 differ"),
        (exactly(seed=1), "the seeds differ: [0] → [1]"),
        (exactly(predictions=None), "a run has no predictions (its file has version 1"),
    ],
)
def test_runs_that_cannot_be_compared_exactly(other, message):
    found = against(exactly(), other, exact=True)
    assert found.status == "incomparable"
    row = next(row for row in found.rows if row.verdict == "incomparable")
    assert message in row.reason
    assert found.changed_predictions == []
    assert against(exactly(), other, exact=True, incomparable=True).status == "incomparable"


def test_only_the_first_changed_images_are_shown():
    found = against(exactly(), exactly(predictions=(CLASSES + 1) % 7), exact=True)
    assert len(found.changed_predictions) == 200
    table = comparison_document(found).tables[-1]
    assert len(table.columns[0].cells) == 20
    assert table.notes == ["180 more images are in --format json."]
