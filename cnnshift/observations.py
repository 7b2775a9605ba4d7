"""The outputs of a sweep from which every metric is computed, without the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnshift.array_types import Float, Int, Real


@dataclass(frozen=True, slots=True)
class Observations:
    """Outputs of a model for n images and s shifts. Notation: f logits, P = softmax(f), ŷ = argmax f, c = ŷ(x).

    Attributes:
        shifts: (dy, dx) in input pixels, without (0, 0); the same for all images, or one set per image. Fractions are
            rounded to the nearest float64, so that equal fractions compare equal.
        neighbours: pairs of columns of `all_predictions` whose shifts lie one step apart along a row, a column or (set
            `diagonal`) a diagonal; None if the shifts form no path.
        labels: y.
        reference_prediction: ŷ(x).
        reference_probability: P_c(x).
        reference_label_probability: P_y(x).
        reference_logits: f(x).
        prediction: ŷ(T_d x).
        probability: P_c(T_d x).
        label_probability: P_y(T_d x).
        distance: ‖f(T_d x) - f(x)‖₂.
        cosine: cos(φ(T_d x), φ(x)) of the penultimate features φ; None for a model that does not expose them.
        logit_change: mean over d of f(T_d x) - f(x), per image and class.
        logit_square_change: mean over d of (f(T_d x) - f(x))², per image and class.
        shift_logit_change: mean over the images of f(T_d x) - f(x), per shift and class.
        stride: total stride S of the model; None if unknown.
    """

    shifts: Real[np.ndarray, "s 2"] | Real[np.ndarray, "n s 2"]
    neighbours: Int[np.ndarray, "p 2"] | None
    labels: Int[np.ndarray, " n"]
    reference_prediction: Int[np.ndarray, " n"]
    reference_probability: Float[np.ndarray, " n"]
    reference_label_probability: Float[np.ndarray, " n"]
    reference_logits: Float[np.ndarray, "n k"]
    prediction: Int[np.ndarray, "n s"]
    probability: Float[np.ndarray, "n s"]
    label_probability: Float[np.ndarray, "n s"]
    distance: Float[np.ndarray, "n s"]
    cosine: Float[np.ndarray, "n s"] | None
    logit_change: Float[np.ndarray, "n k"]
    logit_square_change: Float[np.ndarray, "n k"]
    shift_logit_change: Float[np.ndarray, "s k"]
    stride: int | None = None

    @property
    def radius(self) -> Real[np.ndarray, " s"] | Real[np.ndarray, "n s"]:
        """|d|∞ of every shift in pixels."""
        return np.abs(self.shifts).max(axis=-1)

    @property
    def per_image_shifts(self) -> bool:
        """Whether every image has a different set of shifts (`random:K`), so that no map over shifts exists."""
        return self.shifts.ndim == 3

    @property
    def all_predictions(self) -> Int[np.ndarray, "n m"]:
        """ŷ(x) in column 0 and ŷ(T_d x) of shift i in column i + 1; m = s + 1."""
        return np.concatenate([self.reference_prediction[:, None], self.prediction], axis=1)
