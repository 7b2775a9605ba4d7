"""The recipe: everything but the network and the data that decides what training yields."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import optax


@dataclass(frozen=True, slots=True)
class Recipe:
    """Adam on the mean cross-entropy, with a linear warm-up, a cosine decay to zero, and clipped gradients.

    Batches are drawn from one endless stream of reshuffled epochs, so that every step is full and every image is used
    equally often. There is no weight decay and no other regularisation: what differs between two models is then the
    architecture or the augmentation.

    Attributes:
        epochs: passes over the training images; 0 leaves the network untrained.
        batch_size: images per step.
        learning_rate: peak of the schedule.
        warmup: fraction of the steps in which the rate rises from 0.
        clip: largest norm of the gradient over all weights.
        augment: see `cnnshift.train.augment`.
        version: bump it when the same recipe trains differently.
    """

    epochs: int = 7
    batch_size: int = 64
    learning_rate: float = 1e-2
    warmup: float = 0.1
    clip: float = 1.0
    augment: str = "none"
    version: int = 1

    def steps(self, images: int) -> int:
        """Number of optimizer steps on that many images: the passes' share, rounded up."""
        return math.ceil(self.epochs * images / self.batch_size)

    def optimizer(self, images: int) -> optax.GradientTransformation:
        """The optimizer with its schedule."""
        steps = self.steps(images)
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, int(self.warmup * steps), steps)
        return optax.chain(optax.clip_by_global_norm(self.clip), optax.adam(rate))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)
