"""The plan: every spec validated, every shift enumerated, before anything is trained or measured."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cnnshift.bench.images import dataset_spec
from cnnshift.bench.networks import NetworkPlan, is_pretrained, own_window, plan_pretrained
from cnnshift.catalog import METRICS, PROTOCOLS
from cnnshift.config import FRACTIONS, BenchSettings, Span
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError
from cnnshift.results.schema import DatasetRecord, ProtocolRecord
from cnnshift.shifts.base import ShiftProtocol
from cnnshift.shifts.sets import ShiftSet, enumerate_shifts
from cnnshift.spec import ModelSpec
from cnnshift.train.obtain import plan_training

log = logging.getLogger("cnnshift")


@dataclass(frozen=True, slots=True)
class ShiftPlan:
    """A protocol with its shifts on one data set, and the hash of all that a number depends on but the model."""

    protocol: ShiftProtocol
    shift_set: ShiftSet
    record: ProtocolRecord
    contract: str


@dataclass(frozen=True, slots=True)
class BenchCell:
    """One row of work: a model with one seed under one protocol."""

    network: NetworkPlan
    seed: int
    shift_plan: ShiftPlan


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """Everything that will be done.

    Attributes:
        settings: as they were asked for.
        train: the images to train on; None where nothing is trained, or the data set has none.
        test: those to measure on.
        dataset: their record for the result.
        networks: models in the order of the settings, each with its recipe or its weights.
        shift_plans: protocols in the order of the settings.
        metrics: ids to compute.
    """

    settings: BenchSettings
    train: Split | None
    test: Split
    dataset: DatasetRecord
    networks: tuple[NetworkPlan, ...]
    shift_plans: tuple[ShiftPlan, ...]
    metrics: tuple[str, ...]

    def cells(self) -> Iterator[BenchCell]:
        """All cells: models, then seeds, then protocols."""
        for network in self.networks:
            for seed in self.seeds(network):
                for shift_plan in self.shift_plans:
                    yield BenchCell(network, seed, shift_plan)

    def seeds(self, network: NetworkPlan) -> tuple[int, ...]:
        """Seeds of a model: its spec's own one, or those of the settings; one where nothing is trained."""
        if network.seed is not None:
            return (network.seed,)
        return tuple(range(self.settings.seed, self.settings.seed + self.settings.seeds))


def make_plan(settings: BenchSettings) -> BenchPlan:
    """Validate the settings and load the data.

    Raises:
        InputError: the first thing in the settings that cannot be done.
    """
    spec = dataset_spec(settings)
    for metric in settings.metrics:
        METRICS[metric]
    protocols = [(name, PROTOCOLS.load(name)) for name in dict.fromkeys(settings.protocols)]
    dataset = create_dataset(spec)
    models = [ModelSpec.parse(model) for model in settings.models]
    given = {str(spec): plan_pretrained(spec) for spec in models if is_pretrained(spec)}
    test = dataset.load("test", limit=settings.limit)
    window = own_window(list(given.values()), test)
    test = test.with_window(window)
    if settings.limit is not None and settings.limit > len(test):
        log.warning("limit is %d, but '%s' has %d test images; all are taken.", settings.limit, spec, len(test))
    trains = dataset.has_train and any(not is_pretrained(model) for model in models)
    train = dataset.load("train").with_window(window) if trains else None
    record = DatasetRecord(
        name=str(dataset.spec),
        version=dataset.version,
        split="test",
        n=len(test),
        size=test.size,
        fingerprint=test.fingerprint,
    )
    shift_plans = tuple(plan_shifts(protocol, test, record, settings) for _, protocol in protocols)
    warn_about_half_steps(shift_plans)
    networks: dict[str, NetworkPlan] = {}
    for model in models:
        network = given.get(str(model)) or plan_training(model, train or test, epochs=settings.epochs)
        if network.label in networks:
            raise InputError(f"The model '{model}' is listed twice (as {network.label}).")
        networks[network.label] = network
    metrics = tuple(METRICS) if not settings.metrics else tuple(dict.fromkeys(settings.metrics))
    return BenchPlan(settings, train, test, record, tuple(networks.values()), shift_plans, metrics)


def plan_shifts(
    protocol: type[ShiftProtocol], test: Split, record: DatasetRecord, settings: BenchSettings
) -> ShiftPlan:
    """Enumerate the shifts of a protocol on a data set.

    Raises:
        InputError: the shifts do not fit the images, or the protocol does not fit the data set.
    """
    # The protocol's own limits come first: "crop needs context" is better told than "max-shift is too large".
    protocol(test.size, reach=0, context=test.context, background=test.background)
    span = Span.of(fractional=protocol.fractional, max_shift=settings.max_shift, step=settings.step)
    shift_set = enumerate_shifts(
        settings.shifts,
        max_shift=span.max_shift,
        step=span.step,
        size=test.size,
        wraps=protocol.wraps,
        images=len(test),
        fractional=protocol.fractional,
    )
    moving = protocol(test.size, reach=shift_set.reach, context=test.context, background=test.background)
    description = ProtocolRecord(
        name=protocol.name,
        wraps=protocol.wraps,
        set=settings.shifts,
        max_shift=shift_set.largest,
        step=Fraction(1) if settings.shifts == "full" else span.step,
        count=shift_set.count,
        exhaustive=shift_set.exhaustive,
        information_loss=_mean_loss(moving, test, shift_set),
    )
    return ShiftPlan(moving, shift_set, description, _contract(record, description, protocol.version, shift_set))


def warn_about_half_steps(shift_plans: Sequence[ShiftPlan]) -> None:
    """Say once where the only fractions are halves, which say too little."""
    steps = {shift_plan.record.step for shift_plan in shift_plans}
    for step in sorted(step for step in steps if step.denominator == 2):
        log.warning(
            "step is %s: the only fractions of a pixel are halves, at which a network that over-samples twofold looks "
            "exact even if it aliases; thirds would tell (step %s).",
            step,
            FRACTIONS.step,
        )


def _mean_loss(protocol: ShiftProtocol, test: Split, shift_set: ShiftSet) -> float:
    windows = to_unit_range(test.windows)
    if shift_set.shifts.ndim == 2:
        return float(protocol.energy_loss(windows, shift_set.shifts).mean())
    losses = [protocol.energy_loss(windows[i : i + 1], shifts).mean() for i, shifts in enumerate(shift_set.shifts)]
    return float(sum(losses) / len(losses))


def _contract(dataset: DatasetRecord, protocol: ProtocolRecord, version: int, shift_set: ShiftSet) -> str:
    """Hash of data, protocol, shifts and preprocessing; not of model, seed, device or batch size."""
    # Which part of a pixel a unit is, the step says.
    shifts = np.ascontiguousarray(shift_set.numerators, dtype="<i4")
    terms = {
        "dataset": dataset.model_dump(mode="json"),
        "protocol": protocol.model_dump(mode="json", exclude={"information_loss", "wraps"}),
        "protocol_version": version,
        "shifts": hashlib.sha256(shifts.tobytes()).hexdigest(),
        "preprocessing": "pixels on the scale 0..1",
    }
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()
