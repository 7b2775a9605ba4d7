"""The networks of a plan: those that are trained for it, and those that come with their weights."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from cnnshift.catalog import LOADERS, MODELS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.loaders.base import Network
from cnnshift.loaders.host_callback import HostCallback, traceable
from cnnshift.loaders.loader import columns, load_model
from cnnshift.loaders.preprocessed import preprocessed
from cnnshift.registry import unknown
from cnnshift.results.schema import DatasetRecord, TrainingRecord
from cnnshift.spec import ModelSpec
from cnnshift.sweep.pure_model import HostRuntime, PureModel, as_pure_model, check_fits
from cnnshift.train.obtain import Trained, TrainingPlan, obtain


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run says about its model; `family_version` is None for a model of the user's own."""

    model: str
    family: str
    family_version: int | None
    options: dict[str, str]
    seed: int
    training: TrainingRecord
    train_seconds: float


@dataclass(frozen=True, slots=True)
class PretrainedPlan:
    """A network that comes with its weights: there is nothing to train, and one seed.

    Attributes:
        label: its spec.
        spec: the same in parts: of paths from the root, the last part.
        network: opened.
        seed: 0, of a run that has none.
        epochs: 0, of training.
    """

    label: str
    spec: ModelSpec
    network: Network
    seed: ClassVar[int] = 0
    epochs: ClassVar[int] = 0


NetworkPlan = TrainingPlan | PretrainedPlan


@dataclass(frozen=True, slots=True)
class Ready:
    """A network with its weights, ready to be measured.

    Attributes:
        model: images on the scale 0..1 → logits of the data's classes.
        subject: the same as a function.
        identity: what a run says about it.
        trained: how it was trained, if it was.
    """

    model: Callable[[Any], Any]
    subject: PureModel
    identity: Identity
    trained: Trained | None


def is_pretrained(spec: ModelSpec) -> bool:
    """Whether a model spec names a source and not a family to train.

    Raises:
        InputError: it names neither.
    """
    if spec.name in MODELS:
        return False
    if spec.name not in LOADERS:
        raise InputError(unknown("model", spec.name, [*MODELS, *LOADERS]))
    return True


def plan_pretrained(spec: ModelSpec) -> PretrainedPlan:
    """Open a network that comes with its weights.

    Raises:
        InputError: see `load_model`.
    """
    # Without folders of this machine: of a path from the root, the last part.
    options = {key: _last_part(value) for key, value in spec.options.items()}
    shown = ModelSpec(spec.name, options, _last_part(spec.argument))
    return PretrainedPlan(str(shown), shown, load_model(spec))


def _last_part(text: str) -> str:
    return Path(text).name if Path(text).is_absolute() else text


def plan_source(text: str) -> PretrainedPlan:
    """The same from the text of a spec.

    Raises:
        InputError: it names a family, which would have to be trained; or see `load_model`.
    """
    spec = ModelSpec.parse(text)
    if not is_pretrained(spec):
        raise InputError(
            f"The model '{text}' would have to be trained, which `cnnshift bench` does; allowed: "
            f"{', '.join(LOADERS)}, or a network itself."
        )
    return plan_pretrained(spec)


def ready_to_measure(
    plan: TrainingPlan,
    train: Split,
    *,
    seed: int,
    kept: Path | None = None,
    progress: Callable[[int], None] = lambda steps: None,
) -> Ready:
    """Train a network, or read its weights; see `obtain` for the arguments and the errors."""
    trained = obtain(plan, train, seed=seed, kept=kept, progress=progress)
    identity = Identity(
        model=plan.label,
        family=plan.architecture.name,
        family_version=type(trained.model).version,
        options=plan.options,
        seed=seed,
        training=TrainingRecord(recipe=trained.recipe, cached=trained.cached, final_loss=trained.loss),
        train_seconds=trained.seconds,
    )
    return Ready(trained.model, as_pure_model(trained.model), identity, trained)


def prepare_pretrained(plan: PretrainedPlan, test: Split) -> Ready:
    """A network as it came, behind its preparation, for these images.

    Raises:
        InputError: it does not take these images, or does not tell their classes.
    """
    network = plan.network
    shape = (*test.size, test.channels)
    if network.preprocess.size not in (None, test.size):
        wanted, there = ("×".join(map(str, size)) for size in (network.preprocess.size or (), test.size))
        raise InputError(f"{plan.label} takes images of {wanted} pixels, but those of the data have {there}.")
    network = traceable(network, shape)
    names, where = network.classes, None
    if names is not None and names != test.classes:
        where = columns(names, test.classes)
    behind = partial(
        preprocessed, preprocess=network.preprocess, classes=None if names is None else len(names), columns=where
    )
    model = behind(network.model)
    subject = replace(
        as_pure_model(model),
        own_digest=digest_of_given(plan),
        own_parameters=network.parameters,
        outside=_outside(network, behind),
    )
    check_fits(subject, test, exactly=where is None)
    options = dict(plan.spec.options)
    training = TrainingRecord(recipe=recipe_of_given(plan, test), cached=False, final_loss=None)
    identity = Identity(plan.label, plan.spec.name, None, options, plan.seed, training, 0.0)
    return Ready(model, subject, identity, None)


def _outside(network: Network, behind: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]) -> HostRuntime | None:
    """How a network is called back, if it is, behind its preparation."""
    call = network.model
    if not isinstance(call, HostCallback):
        return None
    return HostRuntime(lambda most: as_pure_model(behind(call.in_calls_of(most))).apply, call.concurrent, call.batch)


def digest_of_given(plan: PretrainedPlan) -> str:
    """SHA-256 of the network itself: what prepares its images is told apart from its weights."""
    return plan.network.digest or as_pure_model(plan.network.model).digest


def recipe_of_given(plan: PretrainedPlan, test: Split) -> dict[str, Any]:
    """What a run says of a network's preparation, of the names that pick the logits of the data's classes, and of code.

    The weights alone would not tell that a file of the user's has changed since.
    """
    recipe: dict[str, Any] = {"preprocess": plan.network.preprocess.changed()}
    if (names := plan.network.classes) not in (None, test.classes):
        recipe["classes"] = hashlib.sha256(repr(names).encode()).hexdigest()[:16]
    if plan.network.code is not None:
        recipe["code"] = plan.network.code[:16]
    return recipe


def as_seen(plan: PretrainedPlan, test: Split, record: DatasetRecord) -> tuple[Split, DatasetRecord]:
    """The images, and what a run says about them, at the size that a network asks for: the rest becomes context.

    Raises:
        InputError: the images are too small.
    """
    seen = test.with_window(own_window([plan], test))
    return seen, record.model_copy(update={"size": seen.size, "fingerprint": seen.fingerprint})


def ready_as_is(model: Callable[[Any], Any], name: str, test: Split) -> Ready:
    """A network object of the Python API, for these images.

    Raises:
        InputError: it does not take these images, or does not tell their classes.
    """
    if any(kind.__module__.startswith("torch.") for kind in inspect.getmro(type(model))):
        raise InputError(
            f"The model is a PyTorch module ({type(model).__name__}); measure it by a spec, 'torch:FILE.py:factory', "
            "or give a function of numpy arrays."
        )
    family = type(model).__name__
    network = traceable(Network(model), (*test.size, test.channels))
    model = network.model
    subject = replace(as_pure_model(model), outside=_outside(network, lambda call: call))
    check_fits(subject, test)
    training = TrainingRecord(recipe={}, cached=False)
    return Ready(model, subject, Identity(name, family, None, {}, 0, training, 0.0), None)


def own_window(networks: Sequence[PretrainedPlan], test: Split) -> tuple[int, int]:
    """The size (H, W) at which networks see the images: the one that some of them ask for, or that of the data.

    Raises:
        InputError: two of them ask for different sizes.
    """
    asked = {plan.network.preprocess.size: plan.label for plan in networks if plan.network.preprocess.size}
    if len(asked) > 1:
        said = ", ".join(f"{label} {size[0]}×{size[1]}" for size, label in asked.items() if size)
        raise InputError(f"The networks take images of different sizes ({said}); measure them one by one.")
    return next((size for size in asked if size), test.size)
