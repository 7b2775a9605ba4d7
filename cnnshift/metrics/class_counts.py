"""How often an image is given each class, over its shifts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def class_counts(classes: Int[np.ndarray, "n m"], number: int) -> Int[np.ndarray, "n {number}"]:
    """Count the classes in every row.

    One `bincount` over (image, class) cells: no loop over images, shifts or classes.

    Args:
        classes: predicted classes of n images at m shifts, from 0 to `number` − 1.
        number: number of classes.

    Example:
        >>> class_counts(np.array([[2, 0, 2], [1, 1, 1]]), 3).tolist()
        [[1, 0, 2], [0, 3, 0]]
    """
    images = len(classes)
    cells = classes + number * np.arange(images)[:, None]
    return np.bincount(cells.ravel(), minlength=images * number).reshape(images, number)
