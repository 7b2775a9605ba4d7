"""`cnnshift.explain`: layer-wise equivariance errors of a network, their causes, and an ablation."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cnnshift
from cnnshift.bench.cell import measure_cell
from cnnshift.bench.images import Images, test_images
from cnnshift.bench.models import adapt_model, crop_to_model, plan_for_dataset, wrap_model
from cnnshift.bench.plan import plan_shifts
from cnnshift.config import MeasureConfig, make_config
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError
from cnnshift.explanation.ablation import run_ablation, score_baseline
from cnnshift.explanation.diagnosis import diagnose
from cnnshift.explanation.floor import measure_floor
from cnnshift.explanation.probe import probe_layers
from cnnshift.explanation.summary import summarize
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.host_callback import HIDDEN
from cnnshift.loaders.loader import is_pretrained, load_model
from cnnshift.results.environment import describe_environment
from cnnshift.results.explanation import Ablation, Explanation
from cnnshift.results.schema import DatasetRecord, Run
from cnnshift.shifts.circular import Circular
from cnnshift.shifts.sets import ShiftSet
from cnnshift.spec import ModelSpec
from cnnshift.sweep.bind_protocol import bind_protocol
from cnnshift.sweep.device import describe_device
from cnnshift.sweep.engine import MIN_SAVING
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.sweep.sharing import Sharing, find_sharing
from cnnshift.train.load_or_train import load_or_train, plan_training

log = logging.getLogger("cnnshift")


def explain_model(
    model: str | Callable[[Any], Any],
    data: Images,
    config: MeasureConfig,
    *,
    ablation: bool,
    name: str,
) -> Explanation:
    """Measure which layers break translation equivariance, by how much, and why; see `cnnshift.explain`."""
    test, record = test_images(data, config.limit)
    spec = ModelSpec.parse(model) if isinstance(model, str) else None
    pretrained = load_model(spec) if spec is not None and is_pretrained(spec) else None
    if pretrained is not None:
        test, record = crop_to_model(pretrained, test, record)
    shift_plan = plan_shifts(config.protocols[0], test, record, config)
    _, ablation_shifts = bind_protocol(Circular, test, max_shift=min(4, min(test.size) - 1), step=1)
    scores = None
    if pretrained is not None:
        network = adapt_model(pretrained, test)
    elif not isinstance(model, str):
        network = adapt_model(wrap_model(model, name), test, more_classes=True)
    elif isinstance(data, str):
        shift_set = ablation_shifts if ablation else None
        network, scores = _train(ModelSpec.parse(model), data, test, config, shift_set)
    else:
        raise InputError(f"The model '{model}' is trained on a data set; name one instead of passing images.")
    if as_pure_model(network).host_runtime is not None:
        raise InputError(HIDDEN)
    scores = scores or score_baseline(network.classifier, test, ablation_shifts)
    log.info("Measuring predictions under shifts")
    run, _ = measure_cell(network, test, record, shift_plan, config)
    # Layers are measured on 32 images, predictions on all.
    images = to_unit_range(test.windows[:32])
    log.info("Measuring the numerical floor")
    floor = measure_floor(images)
    log.info("Measuring layers")
    layers = diagnose(probe_layers(network.classifier, images), floor)
    log.info("Measuring predictions under all circular shifts")
    is_complete = shift_plan.record.set == "full" and shift_plan.protocol.wraps
    explanation = Explanation(
        cnnshift_version=cnnshift.__version__,
        environment=describe_environment(describe_device()),
        images=len(images),
        floor_whole=floor.whole,
        floor_subpixel=floor.subpixel,
        tolerance_whole=floor.whole_tolerance,
        tolerance_subpixel=floor.subpixel_tolerance,
        layers=layers,
        ablation=scores,
        run=run,
        certificate=run if is_complete else _certify(network, test, record),
        summary=[],
    )
    return explanation.model_copy(update={"summary": summarize(explanation)})


def _train(
    spec: ModelSpec,
    data: str,
    test: Split,
    config: MeasureConfig,
    ablation_shifts: ShiftSet | None,
) -> tuple[LoadedModel, Ablation | None]:
    """Train a network and, if there are shifts for an ablation, its variants; weights are cached."""
    plan, images = plan_for_dataset(spec, data, test, epochs=config.epochs)
    seed = plan.seed if plan.seed is not None else config.seed
    recipe = {key: value for key, value in spec.options.items() if key in ("augment", "epochs")}

    @functools.cache
    def train_variant(text: str) -> LoadedModel:
        variant = plan_training(ModelSpec.parse(text), images, epochs=config.epochs)
        return load_or_train(variant, images, seed=seed)

    def train_architecture(architecture: ModelSpec) -> LoadedModel:
        return train_variant(str(ModelSpec(architecture.name, {**architecture.options, **recipe})))

    network = train_architecture(plan.architecture)
    network = replace(network, provenance=replace(network.provenance, name=plan.name))
    if ablation_shifts is None:
        return network, None
    return network, run_ablation(
        plan.architecture, lambda each: train_architecture(each).classifier, test, ablation_shifts
    )


def _certify(network: LoadedModel, test: Split, record: DatasetRecord) -> Run | None:
    """Measure all circular shifts if the network can share forward passes between them."""
    config = make_config(protocols=["circular"], shifts="full", metrics=["pairwise_consistency"])
    shift_plan = plan_shifts("circular", test, record, config)
    sharing = find_sharing(as_pure_model(network), test, shift_plan.protocol, shift_plan.shift_set)
    if not isinstance(sharing, Sharing) or len(sharing.phases) * MIN_SAVING > shift_plan.shift_set.count:
        return None
    run, _ = measure_cell(network, test, record, shift_plan, config)
    return run
