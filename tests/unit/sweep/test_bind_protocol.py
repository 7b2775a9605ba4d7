"""Bind a protocol and its shifts to images."""

from fractions import Fraction

import numpy as np
import pytest

from cnnshift.catalog import PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.sweep.bind_protocol import bind_protocol

SPLIT = Split(np.zeros((2, 24, 24, 1), np.uint8), np.zeros(2, np.int32), ("one",), (0.5,), context=4)


@pytest.mark.parametrize(
    ("name", "options", "largest", "step"),
    [
        ("circular", {}, 8, 1),
        ("fourier", {}, 2, Fraction(1, 3)),
        ("fourier", {"step": Fraction(1)}, 2, 1),
        ("zero", {"max_shift": Fraction(3)}, 3, 1),
        ("zero", {"max_shift": 5, "step": 2}, 4, 2),
    ],
)
def test_defaults_depend_on_the_protocol(name, options, largest, step):
    protocol, shift_set = bind_protocol(PROTOCOLS.load(name), SPLIT, **options)
    assert (shift_set.largest, shift_set.step) == (largest, step)
    assert protocol.reach == shift_set.reach == largest
    assert (protocol.size, protocol.context, protocol.background) == ((16, 16), 4, SPLIT.background)


def test_the_full_set_ignores_the_step():
    assert bind_protocol(PROTOCOLS.load("circular"), SPLIT, shifts="full", step=Fraction(3))[1].step == 1


def test_the_limits_of_the_protocol_come_first():
    without = Split(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int32), ("one",), (0.0,))
    with pytest.raises(InputError, match="'crop' needs source images larger"):
        bind_protocol(PROTOCOLS.load("crop"), without)


@pytest.mark.parametrize(("step", "warned"), [("1/2", True), ("3/2", True), ("1/4", False), ("1/3", False), (1, False)])
def test_warning_about_half_pixels(step, warned, caplog):
    bind_protocol(PROTOCOLS.load("fourier"), SPLIT, max_shift=3, step=Fraction(step))
    assert ("exactly equivariant to half-pixel shifts" in caplog.text) == warned


def test_no_warning_about_steps_that_are_refused(caplog):
    with pytest.raises(InputError, match="step is 1/2; allowed: whole pixels"):
        bind_protocol(PROTOCOLS.load("circular"), SPLIT, step=Fraction(1, 2))
    assert not caplog.text
