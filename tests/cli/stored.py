"""Runs for the tests of `cnnshift compare`."""

import numpy as np

from tests.factories import make_outcomes, make_run, make_summary

CLASSES = np.arange(200 * 9).reshape(200, 9) % 7


def values(accuracy=150, consistency=0.8, kappa=0.5):
    spread = np.linspace(-0.1, 0.1, 200)
    return {
        "accuracy": make_outcomes(accuracy),
        "pairwise_consistency": consistency + spread,
        "kappa": make_summary("kappa", kappa),
        "mac": 0.2 - spread,
    }


def run(accuracy=150, predictions=CLASSES, **options):
    return make_run(values(accuracy), predictions=predictions, **options)


LONG = "cnn:pool=blur,padding=circular,head=gap,blur=5,width=32,depth=4,augment=shift4"
