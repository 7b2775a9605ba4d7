"""Sentences about the models of one table."""

import numpy as np
import pytest

from cnnshift.render.documents.bench_summary import summarize
from cnnshift.results.aggregate import group_by_contract
from cnnshift.results.packing import pack
from cnnshift.results.schema import EngineRecord, PhaseTable, ShiftTable
from tests.bench_results import FOUR, result, run


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
        "cnn: the predicted class of 4 of 4 images is the same at all 4 circular shifts by whole pixels "
        "(17 forward passes per image)."
    ) in sentences(one)


def test_a_run_over_all_shifts_names_the_smallest_shift_that_changes_a_prediction():
    one = with_predictions([[3] * 4, [1, 1, 1, 9], [0, 0, 5, 0], [2] * 4])
    assert sentences(one)[-1] == (
        "cnn: the predicted class of 2 of 4 images is the same at all 4 circular shifts by whole pixels; the smallest "
        "shift that changes a prediction is (dy=0, dx=1): image 2, class 0 → 5."
    )
    assert not any("predicts the same class" in sentence for sentence in sentences(one))


def test_the_shift_set_full_holds_whole_pixels_of_fractional_protocols():
    one = with_predictions([[3] * 4, [1] * 4, [0] * 4, [2] * 4])
    elsewhere = one.model_copy(update={"protocol": one.protocol.model_copy(update={"name": "fourier"})})
    sentence = "cnn: the predicted class of 4 of 4 images is the same at all 4 circular shifts by whole pixels."
    assert sentence in sentences(elsewhere)


@pytest.mark.parametrize(("second", "stated"), [("torch:a.py:make:width=4", True), ("torch:b.py:make:width=4", False)])
def test_options_are_an_effect_within_one_file_only(second, stated):
    runs = [run("torch:a.py:make"), run(second, options={"width": "4"})]
    external = [one.model_copy(update={"family": "torch", "family_version": None}) for one in runs]
    assert any("changing one option: width=4" in sentence for sentence in sentences(*external)) == stated


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
