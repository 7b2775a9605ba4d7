"""The training recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import optax


@dataclass(frozen=True, slots=True)
class Recipe:
    """Adam on the mean cross-entropy, with linear warm-up, cosine decay to zero, and gradient clipping.

    Batches are drawn from one stream of reshuffled epochs: all batches are full, and all images are used equally often.
    There is no weight decay or other regularization, so that models differ in architecture and augmentation only.

    Attributes:
        epochs: passes over the training images; 0 leaves the network untrained.
        batch_size: images per step.
        learning_rate: peak learning rate.
        warmup: fraction of the steps in which the learning rate rises from 0.
        clip: maximum global norm of the gradient.
        augment: see `cnnshift.train.augment`.
        version: increase it when the same recipe trains differently.
    """

    epochs: int = 7
    batch_size: int = 64
    learning_rate: float = 1e-2
    warmup: float = 0.1
    clip: float = 1.0
    augment: str = "none"
    version: int = 1

    def steps(self, images: int) -> int:
        """Return the number of optimizer steps for that many images, epochs · images / batch size rounded up."""
        return math.ceil(self.epochs * images / self.batch_size)

    def optimizer(self, images: int) -> optax.GradientTransformation:
        """Return the optimizer with its learning-rate schedule."""
        steps = self.steps(images)
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, int(self.warmup * steps), steps)
        return optax.chain(optax.clip_by_global_norm(self.clip), optax.adam(rate))
