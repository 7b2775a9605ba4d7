"""A model with its weights, as a loader or a training run returns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cnnshift.preprocess import Preprocess, with_preprocessing

Output = Literal["logits", "probabilities", "logit", "dense", "embedding", "boxes"]
"""Kind of a model's output.

`logits` [n k]; `probabilities` [n k], rows that sum to 1; `logit` [n], of two classes; `dense` [n h w k], logits per
position; `embedding` [n e]; `boxes`, detections. Only `logits` can be measured.
"""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a model, as a run records it.

    Attributes:
        name: canonical spec, or the name that the caller chose.
        family: model family, loader, or class of an object.
        family_version: version of the family's code; None for models that are not of a family.
        options: options that differ from the defaults.
        seed: seed of the training run; 0 for a model that was not trained here.
        recipe: training recipe; for a pretrained model its preprocessing and a digest of the code that made it.
        loss: mean training loss over the last tenth of the steps; None without training.
        cached: whether the weights of a training run were read from a file.
        seconds: duration of the training.
    """

    name: str = "model"
    family: str = ""
    family_version: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    loss: float | None = None
    cached: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its weights.

    Attributes:
        model: preprocessed images → output: a Flax NNX module, a function that JAX can trace, or the result of
            `cnnshift.loaders.host_callback.host_callback`, which runs outside of the compiled program.
        preprocess: preprocessing that the model expects.
        class_names: names of the model's classes in the order of its logits; None if they are those of the data.
        columns: indices of the logits of the data's classes; None for all logits.
        output: kind of the output.
        parameters: number of trained values, if the arrays of `model` do not show it.
        digest: SHA-256 of all that defines the model, if the arrays of `model` do not.
        provenance: origin.
    """

    model: Callable[[Any], Any]
    preprocess: Preprocess = field(default_factory=Preprocess)
    class_names: tuple[str, ...] | None = None
    columns: tuple[int, ...] | None = None
    output: Output = "logits"
    parameters: int | None = None
    digest: str | None = None
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def name(self) -> str:
        """Name in messages and results."""
        return self.provenance.name

    @property
    def classifier(self) -> Callable[[Any], Any]:
        """Images on the scale 0..1 → logits of the data's classes: the model with its preprocessing."""
        return with_preprocessing(self.model, self.preprocess, self.columns)
