"""`cnnshift.explain`: which layer of a network breaks translation, by how much, and why."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cnnshift
from cnnshift.bench.cell import measure_cell
from cnnshift.bench.images import Images, no_training_images, test_images
from cnnshift.bench.networks import (
    Identity,
    Ready,
    as_seen,
    is_pretrained,
    plan_pretrained,
    prepare_pretrained,
    ready_as_is,
    ready_to_measure,
)
from cnnshift.bench.plan import ShiftPlan, plan_shifts, warn_about_half_steps
from cnnshift.catalog import METRICS, PROTOCOLS
from cnnshift.config import DEFAULTS, EXPLAINED_IMAGES, BenchSettings, checked
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError
from cnnshift.explanation.ablation import Ablation, measure_behaviour, run_ablation
from cnnshift.explanation.diagnosis import diagnose
from cnnshift.explanation.floor import measure_floor
from cnnshift.explanation.probe import probe_layers
from cnnshift.explanation.summary import summarize
from cnnshift.loaders.host_callback import HIDDEN
from cnnshift.results.environment import describe_environment
from cnnshift.results.explanation import Explanation
from cnnshift.results.schema import DatasetRecord, Run
from cnnshift.shifts.circular import Circular
from cnnshift.shifts.sets import ShiftSet, enumerate_shifts
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.device import describe_device
from cnnshift.sweep.engine import WORTH_IT
from cnnshift.sweep.pure_model import PureModel
from cnnshift.sweep.sharing import Sharing, find_sharing
from cnnshift.train.obtain import plan_training

PROBED_IMAGES = 32
"""Images whose layers are looked at; predictions are looked at on all."""

CAUSE_SHIFTS = 4
"""Largest shift under which the causes are compared, in pixels."""

CONSISTENCY = "pairwise_consistency"

Say = Callable[[str], None]
"""Is told what is done next."""


def explain(
    model: str | Callable[[Any], Any],
    data: Images = DEFAULTS.dataset,
    *,
    protocol: str = DEFAULTS.protocols[0],
    max_shift: int | float | str | Fraction | None = DEFAULTS.max_shift,
    step: int | float | str | Fraction | None = DEFAULTS.step,
    shifts: str = DEFAULTS.shifts,
    limit: int | None = EXPLAINED_IMAGES,
    epochs: int | None = DEFAULTS.epochs,
    seed: int = DEFAULTS.seed,
    causes: bool = True,
    name: str = "model",
    say: Say = lambda what: None,
) -> Explanation:
    """Find out which layer of a network breaks translation, and why.

    Args:
        model: a model spec, trained as `cnnshift bench` would; or a Flax NNX module or any traceable function of your
            own, images [n h w c] on the scale 0..1 → logits [n k].
        data: a data set spec, or images of your own, see `cnnshift.measure`.
        protocol: under which predictions are watched; layers are always measured on the torus.
        max_shift: largest shift at which predictions are watched, in pixels, as for `cnnshift.measure`.
        step: spacing of these shifts, likewise.
        shifts: their shift set. `full` certifies any network; one whose structure lets shifts share forward passes
            is certified in any case.
        limit: number of images, a seeded subset; the layers of the first 32 are looked at.
        epochs: of the training of a spec; 0 leaves it untrained.
        seed: of the training of a spec.
        causes: whether to train the networks that differ from a spec's in one part, or in all but one.
        name: what a model of your own is called.
        say: is told what is done next.

    Returns:
        The explanation; `print` shows its words, `layers` and `causes` hold the numbers.

    Raises:
        InputError: something that cannot be done, and what can.
        MeasurementError: a layer, or the model, gave values that are not finite.

    Example:
        >>> import cnnshift
        >>> found = cnnshift.explain("cnn:padding=circular,head=gap,pool=aps", epochs=0, limit=8, causes=False)
        >>> found.layers[-1].lost, found.run.metric("pairwise_consistency").value
        ([], 1.0)
    """
    settings = checked(
        protocols=[protocol],
        shifts=shifts,
        max_shift=max_shift,
        step=step,
        limit=limit,
        epochs=epochs,
        seed=seed,
    )
    test, record = test_images(data, settings.limit)
    spec = ModelSpec.parse(model) if isinstance(model, str) else None
    given = plan_pretrained(spec) if spec is not None and is_pretrained(spec) else None
    if given is not None:
        test, record = as_seen(given, test, record)
    shift_plan = plan_shifts(PROTOCOLS.load(protocol), test, record, settings)
    warn_about_half_steps([shift_plan])
    if given is not None:
        ready = prepare_pretrained(given, test)
    elif not isinstance(model, str):
        ready = ready_as_is(model, name, test)
    elif isinstance(data, str):
        dataset = create_dataset(DatasetSpec.parse(data))
        train = dataset.load("train") if dataset.has_train else None
        return _explain_spec(model, train, test, record, shift_plan, settings, causes, say)
    else:
        raise InputError(f"The model '{model}' is a spec, which is trained on a data set; give one by its name.")
    if ready.subject.outside is not None:
        raise InputError(HIDDEN)
    blame = Ablation(measure_behaviour(ready.model, test, _cause_shifts(test)), None, [])
    return _explain(ready, test, record, shift_plan, blame, say)


def _explain_spec(
    model: str,
    train: Split | None,
    test: Split,
    record: DatasetRecord,
    shift_plan: ShiftPlan,
    settings: BenchSettings,
    causes: bool,
    say: Say,
) -> Explanation:
    plan = plan_training(ModelSpec.parse(model), train or test, epochs=settings.epochs)
    if plan.recipe.epochs and not train:
        raise InputError(no_training_images(record.name, plan.label))
    shown = train or test
    seed = plan.seed if plan.seed is not None else settings.seed
    training = {key: value for key, value in ModelSpec.parse(model).options.items() if key in ("augment", "epochs")}

    @functools.cache
    def trained(spec: str) -> Ready:
        asked = plan_training(ModelSpec.parse(spec), shown, epochs=settings.epochs)
        say(f"training {asked.label}, or reading its weights")
        return ready_to_measure(asked, shown, seed=seed)

    def network_of(spec: ModelSpec) -> Callable[[Any], Any]:
        return trained(str(ModelSpec(spec.name, {**spec.options, **training}))).model

    ready = trained(str(ModelSpec(plan.architecture.name, {**plan.architecture.options, **training})))
    ready = replace(ready, identity=replace(ready.identity, model=plan.label))
    if causes:
        blame = run_ablation(plan.architecture, network_of, test, _cause_shifts(test))
    else:
        blame = Ablation(measure_behaviour(ready.model, test, _cause_shifts(test)), None, [])
    return _explain(ready, test, record, shift_plan, blame, say)


def _explain(
    ready: Ready, test: Split, record: DatasetRecord, shift_plan: ShiftPlan, blame: Ablation, say: Say
) -> Explanation:
    subject, identity = ready.subject, ready.identity
    say("watching predictions")
    run, _ = measure_cell(subject, identity, test=test, dataset=record, shift_plan=shift_plan, metrics=tuple(METRICS))
    images = to_unit_range(test.windows[:PROBED_IMAGES])
    say("measuring the numerical floor")
    floor = measure_floor(images)
    say("measuring layers")
    layers = probe_layers(ready.model, images)
    say("looking at all circular shifts")
    whole = shift_plan.record.set == "full" and shift_plan.protocol.wraps
    certificate = run if whole else _certify(subject, identity, test, record)
    found = Explanation(
        cnnshift_version=cnnshift.__version__,
        environment=describe_environment(describe_device()),
        images=len(images),
        floor_whole=floor.whole,
        floor_subpixel=floor.subpixel,
        tolerance_whole=floor.whole_tolerance,
        tolerance_subpixel=floor.subpixel_tolerance,
        layers=diagnose(layers, floor),
        as_it_is=blame.as_it_is,
        all_exchanged=blame.all_exchanged,
        causes=blame.causes,
        causes_shifts=f"circular, |d|≤{_cause_shifts(test).reach}",
        run=run,
        certificate=certificate,
        words=[],
    )
    return found.model_copy(update={"words": summarize(found)})


def _certify(subject: PureModel, identity: Identity, test: Split, record: DatasetRecord) -> Run | None:
    """A run over all circular shifts, where they can share forward passes."""
    shift_plan = plan_shifts(Circular, test, record, checked(shifts="full"))
    sharing = find_sharing(subject, test, shift_plan.protocol, shift_plan.shift_set)
    if not isinstance(sharing, Sharing) or len(sharing.phases) * WORTH_IT > shift_plan.shift_set.count:
        return None
    run, _ = measure_cell(subject, identity, test=test, dataset=record, shift_plan=shift_plan, metrics=(CONSISTENCY,))
    return run


def _cause_shifts(test: Split) -> ShiftSet:
    reach = min(CAUSE_SHIFTS, min(test.size) - 1)
    return enumerate_shifts("grid", max_shift=reach, step=1, size=test.size, wraps=True, images=len(test))
