"""`cnnshift.explain` names the right stride, the right culprit, in the right words."""

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
from cnnshift.render.documents.explain import explain_document
from cnnshift.render.style import Style
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import ModelSpec
from tests.networks import Branches, Functional, Looped, Patches, Residual, Strided, Wrapped, made

# One process makes what the tests of this file share.
pytestmark = pytest.mark.xdist_group("explanation")

RANDOM = np.random.RandomState(0)
IMAGES, LABELS = RANDOM.rand(6, 16, 16, 1).astype(np.float32), np.arange(6) % 5
SPLIT = cnnshift.Split(IMAGES, LABELS.astype(np.int32), tuple("abcde"), background=(0.0,))


def zoo(spec):
    return build(ModelSpec.parse(spec), (16, 16, 1), 5, seed=0)


@pytest.mark.parametrize(
    ("make", "lost"),
    [
        (
            partial(made, Functional),
            {"conv1": ["border"], "max_pool": ["samples"], "conv2": ["samples", "border"], "add": ["position"],
             "reshape": ["place"]},
        ),
        (partial(made, Strided), {"c1": ["samples"]}),
        (partial(made, Patches, embedded=False), {"embed": ["samples"]}),
        (partial(made, Patches, embedded=True), {"embed": ["samples"], "add": ["position"]}),
        (
            partial(made, Residual),
            {"relu": ["fractions"], "c2": ["samples"], "shortcut": ["samples"]},
        ),
        (
            partial(zoo, "locally_connected:width=2,depth=1,pool=none,head=gap"),
            {"blocks.0.weights": ["position"]},
        ),
        # A loop over layers runs the same line again and again.
        (
            partial(made, Looped),
            {"relu": ["fractions"], "max_pool": ["samples"], "max_pool (2)": ["samples"]},
        ),
        # A padding of one's own, then a convolution without: neither is a torus alone, both are together.
        (partial(made, Wrapped), {"relu": ["fractions"]}),
        # The border, and the windows behind it, reach across the whole map.
        (
            partial(zoo, "cnn:kernel=5,width=2,depth=2"),
            {"blocks.0.weights": ["border"], "blocks.0.pool": ["samples"], "blocks.1.weights": ["border"],
             "blocks.1.pool": ["samples"], "embed": ["place"]},
        ),
        (
            partial(zoo, "cnn:padding=valid,width=2,depth=1"),
            {"blocks.0.weights": ["border"], "blocks.0.pool": ["samples"], "embed": ["place"]},
        ),
        (lambda: jax.jit(lambda x: nnx.max_pool(x, (2, 2), (2, 2)).mean(axis=(1, 2))), {"max_pool": ["samples"]}),
        # An exact branch beside it clears no layer.
        (partial(made, Branches, strided=False), {"main": ["border"], "relu (2)": ["fractions"]}),
        (partial(made, Branches, strided=True), {"main": ["samples"]}),
        (partial(zoo, "polyvit:depth=1,width=8,heads=2,patch=4"), {}),
    ],
    ids=["functional", "strided", "patches", "patches with positions", "residual", "locally connected", "looped",
         "wrapped", "wide windows", "valid", "compiled", "border beside", "stride beside", "anchored"],
)  # fmt: skip
def test_every_layer_answers_for_what_it_loses(make, lost):
    records = diagnose(probe_layers(make(), IMAGES), Floor(0.0, 3e-7))
    assert {record.name: record.lost for record in records if record.lost} == lost


@pytest.fixture(scope="module")
def strided():
    return cnnshift.explain(made(Strided), (IMAGES, LABELS), max_shift=3, name="mine")


def test_a_network_of_ones_own(strided):
    assert [layer.stride for layer in strided.layers] == ["4"] * 6
    first, second, *_, head, predictions, advice = str(strided).split("\n")
    assert first.startswith("Equivariant, not invariant: all 4 layers with positions move their maps along")
    assert second.startswith("Stride: c1 (4 px). At the end only shifts by multiples of 4 px, 1 of 16,")
    assert head.startswith("Head: mean (networks.py:")
    assert head.endswith("a shift by 4 px, which the strides allow for, leaves the logits as they are.")
    assert predictions.startswith("Predictions: a shift by 1 px changes ")
    assert "[circular, |d|≤3, 6 images]" in predictions
    assert advice.startswith("To change: filter before every stride")
    # No interventions are known for it, and nothing is claimed of them.
    assert (strided.causes, strided.all_exchanged, strided.certificate) == ([], None, None)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_takes_an_explanation(strided, format):
    text = FORMATS.load(format)(explain_document(strided), Style())
    assert "c1" in text
    if format == "json":
        assert json.loads(text)["layers"][0]["stride"] == "4"
    if format == "table":
        (row,) = [line for line in text.splitlines() if line.startswith("c1 ")]
        assert row.rstrip().endswith("between samples")
        # Exact at 4 px, and at no other shift from 1 to 8 but 8.
        bars = row.split("│")[9].strip()
        assert [bar == "·" for bar in bars] == [False, False, False, True, False, False, False, True]


def test_causes_are_exchanged_one_at_a_time():
    shifts = enumerate_shifts("grid", max_shift=2, step=1, size=(16, 16), wraps=True, images=len(SPLIT))
    built = []

    def obtain(spec):
        built.append(str(spec))
        return zoo(str(spec))

    blame = run_ablation(ModelSpec.parse("cnn:width=2,depth=2,pool=blur,blur=2"), obtain, SPLIT, shifts)
    assert [cause.name for cause in blame.causes] == ["stride", "padding", "head", "activation"]
    assert blame.causes[0].change == "pool=aps"
    assert blame.all_exchanged is not None
    assert blame.all_exchanged.consistency == 1
    # Alone and all but one, none measured twice, and no option of the blur left over beside another pool.
    assert len(built) == len(set(built)) == 9
    assert all(("blur" in spec) == ("pool=blur" in spec) for spec in built)
    (stride, padding, head, activation) = blame.causes
    assert stride.left != blame.all_exchanged
    assert activation.left == blame.all_exchanged
    assert (padding.reason, head.reason) == ("", "")


def test_an_exchange_that_cannot_be_built_says_why():
    shifts = enumerate_shifts("grid", max_shift=1, step=1, size=(16, 16), wraps=True, images=len(SPLIT))

    def obtain(spec):
        if spec.options.get("pool") == "aps":
            raise InputError("no such network")
        return zoo(str(spec))

    blame = run_ablation(ModelSpec.parse("cnn:width=2,depth=1"), obtain, SPLIT, shifts)
    assert (blame.causes[0].alone, blame.causes[0].reason) == (None, "no such network")
    assert blame.all_exchanged is None


def test_a_spec_is_trained_and_certified():
    found = cnnshift.explain(
        "cnn:padding=circular,head=gap,pool=aps,width=2,depth=2", epochs=0, limit=4, max_shift=1, causes=False
    )
    assert found.run.model == "cnn:pool=aps,width=2,depth=2,padding=circular,head=gap"
    assert [word for word in found.words if word.startswith("Certificate")] == [
        "Certificate: cnn:pool=aps,width=2,depth=2,padding=circular,head=gap is invariant to all 1,024 circular "
        "shifts: 4 of 4 images (17 forward passes each)."
    ]
    assert any(
        word.startswith("Stride: maps are up to 4 px coarse, but jump by whole positions") for word in found.words
    )


def test_a_spec_needs_a_data_set():
    with pytest.raises(InputError, match="is a spec, which is trained on a data set"):
        cnnshift.explain("cnn", (IMAGES, LABELS))
