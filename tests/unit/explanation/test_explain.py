"""`cnnshift.explain`: causes of the layers, ablation, and summary."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

import cnnshift
from cnnshift.catalog import FORMATS
from cnnshift.errors import InputError
from cnnshift.explanation.ablation import run_ablation
from cnnshift.explanation.diagnosis import diagnose
from cnnshift.explanation.floor import Floor
from cnnshift.explanation.probe import probe_layers
from cnnshift.models.base import build
from cnnshift.render.document import Style
from cnnshift.render.documents.explain import explain_document
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import ModelSpec
from tests.networks import Branches, Functional, Looped, Patches, Residual, Strided, Wrapped, made

# The tests share a module fixture, so that one process should run them.
pytestmark = pytest.mark.xdist_group("explanation")

RANDOM = np.random.RandomState(0)
IMAGES, LABELS = RANDOM.rand(6, 16, 16, 1).astype(np.float32), np.arange(6) % 5
SPLIT = cnnshift.Split(IMAGES, LABELS.astype(np.int32), tuple("abcde"), background=(0.0,))


def zoo(spec):
    return build(ModelSpec.parse(spec), (16, 16, 1), 5, seed=0)


@pytest.mark.parametrize(
    ("make", "causes"),
    [
        (
            partial(made, Functional),
            {"conv1": ["padding"], "max_pool": ["aliasing"], "conv2": ["aliasing", "padding"],
             "add": ["positional weights"], "reshape": ["spatial readout"]},
        ),
        (partial(made, Strided), {"c1": ["aliasing"]}),
        (partial(made, Patches, embedded=False), {"embed": ["aliasing"]}),
        (partial(made, Patches, embedded=True), {"embed": ["aliasing"], "add": ["positional weights"]}),
        (
            partial(made, Residual),
            {"relu": ["sub-pixel aliasing"], "c2": ["aliasing"], "shortcut": ["aliasing"]},
        ),
        (
            partial(zoo, "locally_connected:width=2,depth=1,pool=none,head=gap"),
            {"blocks.0.weights": ["positional weights"]},
        ),
        # A loop over layers runs the same line several times.
        (
            partial(made, Looped),
            {"relu": ["sub-pixel aliasing"], "max_pool": ["aliasing"], "max_pool (2)": ["aliasing"]},
        ),
        # Separate circular padding before a convolution without padding: only the two together are equivariant.
        (partial(made, Wrapped), {"relu": ["sub-pixel aliasing"]}),
        # Every window reaches the border.
        (
            partial(zoo, "cnn:kernel=5,width=2,depth=2"),
            {"blocks.0.weights": ["padding"], "blocks.0.pool": ["aliasing"], "blocks.1.weights": ["padding"],
             "blocks.1.pool": ["aliasing"], "embed": ["spatial readout"]},
        ),
        (
            partial(zoo, "cnn:padding=valid,width=2,depth=1"),
            {"blocks.0.weights": ["padding"], "blocks.0.pool": ["aliasing"], "embed": ["spatial readout"]},
        ),
        (lambda: jax.jit(lambda x: nnx.max_pool(x, (2, 2), (2, 2)).mean(axis=(1, 2))), {"max_pool": ["aliasing"]}),
        # An equivariant parallel branch does not compensate for a layer.
        (partial(made, Branches, strided=False), {"main": ["padding"], "relu (2)": ["sub-pixel aliasing"]}),
        (partial(made, Branches, strided=True), {"main": ["aliasing"]}),
        (partial(zoo, "polyvit:depth=1,width=8,heads=2,patch=4"), {}),
    ],
    ids=["functional", "strided", "patches", "patches with positions", "residual", "locally connected", "looped",
         "wrapped", "wide windows", "valid", "compiled", "padding in a branch", "stride in a branch",
         "adaptive patches"],
)  # fmt: skip
def test_causes_are_assigned_to_the_layers_that_break_equivariance(make, causes):
    records = diagnose(probe_layers(make(), IMAGES), Floor(0.0, 3e-7))
    assert {record.name: record.causes for record in records if record.causes} == causes


@pytest.fixture(scope="module")
def strided():
    return cnnshift.explain(made(Strided), (IMAGES, LABELS), max_shift=3, name="mine")


def test_a_module_is_explained_without_an_ablation(strided):
    assert [layer.stride for layer in strided.layers] == ["4"] * 6
    first, second, *_, readout, predictions, recommendation = str(strided).split("\n")
    assert first.startswith("Equivariance: all 4 feature maps are equivariant to shifts by multiples of the stride (")
    assert "but not invariant: a 1-px shift changes c1 by " in first
    assert first.endswith(" of its norm [circular, 6 images].")
    assert second.startswith(
        "Aliasing: c1 (stride 4 px) aliases. At c1 only shifts by multiples of 4 px (1 of 16) are on-grid; at other "
        "shifts its error is up to "
    )
    assert readout.startswith("Readout: mean (networks.py:")
    assert readout.endswith(
        "discards positions; a shift by 4 px, a multiple of all strides, does not change the logits "
        "[circular, 6 images]."
    )
    assert predictions.startswith("Prediction stability: a shift by 1 px changes ")
    assert predictions.endswith("[circular, |d|≤3, 6 images, 1 network].")
    assert recommendation.startswith("Recommendation: low-pass filter before every stride")
    # Interventions are known for model specs only.
    assert (strided.ablation.interventions, strided.ablation.all_replaced, strided.certificate) == ([], None, None)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_renders_an_explanation(strided, format):
    text = FORMATS.load(format)(explain_document(strided), Style())
    assert "c1" in text
    if format == "json":
        assert json.loads(text)["layers"][0]["stride"] == "4"
    if format == "table":
        (row,) = [line for line in text.splitlines() if line.startswith("c1 ")]
        assert row.rstrip().endswith("aliasing")
        # Exact at 4 and 8 px only.
        bars = row.split("│")[9].strip()
        assert [bar == "·" for bar in bars] == [False, False, False, True, False, False, False, True]


def test_components_are_replaced_one_at_a_time_and_all_but_one_at_a_time():
    shifts = enumerate_shifts("grid", max_shift=2, step=1, size=(16, 16), wraps=True, images=len(SPLIT))
    built = []

    def train(spec):
        built.append(str(spec))
        return zoo(str(spec))

    ablation = run_ablation(ModelSpec.parse("cnn:width=2,depth=2,pool=blur,blur=2"), train, SPLIT, shifts)
    assert [each.component for each in ablation.interventions] == ["stride", "padding", "head", "activation"]
    assert ablation.interventions[0].replacement == "pool=aps"
    assert ablation.all_replaced is not None
    assert ablation.all_replaced.pairwise_consistency == 1
    # No variant is trained twice, and the option of a blur is dropped with the blur.
    assert len(built) == len(set(built)) == 9
    assert all(("blur" in spec) == ("pool=blur" in spec) for spec in built)
    (stride, padding, head, activation) = ablation.interventions
    assert stride.kept_alone != ablation.all_replaced
    assert activation.kept_alone == ablation.all_replaced
    assert (padding.reason, head.reason) == ("", "")


def test_a_variant_that_cannot_be_trained_is_absent_with_a_reason():
    shifts = enumerate_shifts("grid", max_shift=1, step=1, size=(16, 16), wraps=True, images=len(SPLIT))

    def train(spec):
        if spec.options.get("pool") == "aps":
            raise InputError("no such network")
        return zoo(str(spec))

    ablation = run_ablation(ModelSpec.parse("cnn:width=2,depth=1"), train, SPLIT, shifts)
    assert (ablation.interventions[0].replaced_alone, ablation.interventions[0].reason) == (None, "no such network")
    assert ablation.all_replaced is None


def test_a_spec_is_trained_and_certified():
    explanation = cnnshift.explain(
        "cnn:padding=circular,head=gap,pool=aps,width=2,depth=2", epochs=0, limit=4, max_shift=1, ablation=False
    )
    assert explanation.run.model == "cnn:pool=aps,width=2,depth=2,padding=circular,head=gap"
    assert [line for line in explanation.summary if line.startswith("Certificate")] == [
        "Certificate: cnn:pool=aps,width=2,depth=2,padding=circular,head=gap: the predicted class of 4 of 4 images is "
        "the same at all 1,024 circular shifts by whole pixels (17 forward passes per image)."
    ]
    assert any(
        line.startswith("Aliasing: none. The cumulative stride is 4 px, but the sampling grid adapts to the content")
        for line in explanation.summary
    )
    (stability,) = [line for line in explanation.summary if line.startswith("Prediction stability")]
    assert stability.endswith("[circular, |d|≤1, 4 images, 1 untrained network].")


def test_a_spec_needs_a_data_set():
    with pytest.raises(
        InputError, match="The model 'cnn' is trained on a data set; name one instead of passing images"
    ):
        cnnshift.explain("cnn", (IMAGES, LABELS))
