"""Plan a benchmark: validate every spec and enumerate every shift before anything is trained or measured."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cnnshift.bench.images import dataset_record, dataset_spec
from cnnshift.bench.models import window_size
from cnnshift.catalog import PROTOCOLS
from cnnshift.config import MeasureConfig
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.loader import is_pretrained, load_model
from cnnshift.results.schema import DatasetRecord, ProtocolRecord
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.shifts.sets import ShiftSet
from cnnshift.spec import ModelSpec
from cnnshift.sweep.bind_protocol import bind_protocol
from cnnshift.train.load_or_train import TrainingPlan, plan_training

log = logging.getLogger("cnnshift")

ModelPlan = TrainingPlan | LoadedModel
"""A model to train, or a pretrained model."""


@dataclass(frozen=True, slots=True)
class ShiftPlan:
    """A protocol and its shifts on one data set.

    Attributes:
        protocol: bound to the images.
        shift_set: its shifts.
        record: its entry in the result file.
        contract: hash of the data, the protocol and the shifts; results are comparable if it is equal.
    """

    protocol: ShiftProtocol
    shift_set: ShiftSet
    record: ProtocolRecord
    contract: str


@dataclass(frozen=True, slots=True)
class BenchCell:
    """A unit of work: one model, trained with one seed, under one protocol."""

    model: ModelPlan
    seed: int
    shift_plan: ShiftPlan

    def __str__(self) -> str:
        return f"{self.model.name} seed {self.seed} {self.shift_plan.record.name}"


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """A validated benchmark.

    Attributes:
        config: its settings.
        train: training images; None if nothing is trained or the data set has none.
        test: test images.
        dataset: entry of the test images in the result file.
        models: models in the order of the settings, each with its recipe or its weights.
        shift_plans: protocols in the order of the settings.
    """

    config: MeasureConfig
    train: Split | None
    test: Split
    dataset: DatasetRecord
    models: tuple[ModelPlan, ...]
    shift_plans: tuple[ShiftPlan, ...]

    @property
    def trained_models(self) -> list[TrainingPlan]:
        """The models that are trained."""
        return [model for model in self.models if isinstance(model, TrainingPlan) and model.recipe.epochs]

    def cells(self) -> Iterator[BenchCell]:
        """Iterate over models, then seeds, then protocols."""
        for model in self.models:
            for seed in self._seeds(model):
                for shift_plan in self.shift_plans:
                    yield BenchCell(model, seed, shift_plan)

    def _seeds(self, model: ModelPlan) -> tuple[int, ...]:
        if isinstance(model, LoadedModel):
            return (model.provenance.seed,)
        if model.seed is not None:
            return (model.seed,)
        return tuple(range(self.config.seed, self.config.seed + self.config.seeds))


def make_plan(config: MeasureConfig) -> BenchPlan:
    """Load the data and validate the models against them.

    Raises:
        InputError: the first setting that cannot be used.
    """
    dataset = create_dataset(dataset_spec(config))
    specs = [ModelSpec.parse(model) for model in config.models]
    pretrained = {str(spec): load_model(spec) for spec in specs if is_pretrained(spec)}
    log.info("Loading the data set %s", dataset.spec)
    test = dataset.load("test", limit=config.limit)
    window = window_size(list(pretrained.values()), test)
    test = test.with_window(window)
    if config.limit is not None and config.limit > len(test):
        log.warning("--limit is %d, but '%s' has %d test images; using all.", config.limit, dataset.spec, len(test))
    trains = dataset.has_train and len(pretrained) < len(specs)
    train = dataset.load("train").with_window(window) if trains else None
    record = dataset_record(str(dataset.spec), dataset.version, test)
    shift_plans = tuple(plan_shifts(name, test, record, config) for name in dict.fromkeys(config.protocols))
    models: dict[str, ModelPlan] = {}
    for spec in specs:
        model = pretrained.get(str(spec)) or plan_training(spec, train or test, epochs=config.epochs)
        if model.name in models:
            raise InputError(f"The model '{spec}' is listed twice (as {model.name}).")
        models[model.name] = model
    return BenchPlan(config, train, test, record, tuple(models.values()), shift_plans)


def plan_shifts(protocol: str, test: Split, dataset: DatasetRecord, config: MeasureConfig) -> ShiftPlan:
    """Enumerate the shifts of a protocol on a data set.

    Raises:
        InputError: the shifts do not fit the images, or the protocol does not fit the data set.
    """
    bound, shift_set = bind_protocol(
        PROTOCOLS.load(protocol), test, shifts=config.shifts, max_shift=config.max_shift, step=config.step
    )
    record = ProtocolRecord(
        name=bound.name,
        wraps=bound.wraps,
        set=config.shifts,
        max_shift=shift_set.largest,
        step=shift_set.step,
        count=shift_set.count,
        exhaustive=shift_set.exhaustive,
        information_loss=_mean_loss(bound, test, shift_set),
    )
    return ShiftPlan(bound, shift_set, record, _contract(dataset, record, bound.version, shift_set))


def _mean_loss(protocol: ShiftProtocol, test: Split, shift_set: ShiftSet) -> float:
    windows = to_unit_range(test.windows)
    if shift_set.shifts.ndim == 2:
        return float(protocol.energy_loss(windows, shift_set.shifts).mean())
    losses = [protocol.energy_loss(windows[i : i + 1], shifts).mean() for i, shifts in enumerate(shift_set.shifts)]
    return float(sum(losses) / len(losses))


def _contract(dataset: DatasetRecord, protocol: ProtocolRecord, version: int, shift_set: ShiftSet) -> str:
    """Return the hash of data, protocol, shifts and preprocessing; not of model, seed, device or batch size."""
    # `protocol` has the step, and with it the unit of the shifts.
    shifts = np.ascontiguousarray(shift_set.numerators, dtype="<i4")
    terms = {
        "dataset": dataset.model_dump(mode="json"),
        "protocol": protocol.model_dump(mode="json", exclude={"information_loss", "wraps"}),
        "protocol_version": version,
        "shifts": hashlib.sha256(shifts.tobytes()).hexdigest(),
        "preprocessing": "pixels on the scale 0..1",
    }
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()
