"""The public functions of the package, which `import cnnshift` offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cnnshift
from cnnshift.config import DEFAULT_EXPLAIN_LIMIT, DEFAULTS, Engine, make_config
from cnnshift.errors import IncomparableError, InputError
from cnnshift.results.files import load_result, locate
from cnnshift.results.observations_file import load_observations

if TYPE_CHECKING:
    from cnnshift.bench.images import Images
    from cnnshift.comparison.records import Comparison
    from cnnshift.results.explanation import Explanation
    from cnnshift.results.schema import Result, Run

__all__ = ["compare", "explain", "load_observations", "load_result", "measure"]

Pixels = int | float | str | Fraction | None
"""A length in pixels; a fraction is written "1/3", 1 / 3 or Fraction(1, 3). None is the default of the protocol."""


def measure(
    model: str | Callable[[Any], Any],
    data: Images = DEFAULTS.dataset,
    *,
    protocol: str = DEFAULTS.protocols[0],
    shifts: str = DEFAULTS.shifts,
    max_shift: Pixels = DEFAULTS.max_shift,
    step: Pixels = DEFAULTS.step,
    metrics: Sequence[str] = DEFAULTS.metrics,
    limit: int | None = DEFAULTS.limit,
    batch_size: int | None = DEFAULTS.batch_size,
    engine: Engine = DEFAULTS.engine,
    name: str = "model",
) -> Run:
    """Measure how the predictions of a model change when its images are shifted.

    Args:
        model: a Flax NNX module or any traceable function, images [n h w c] on the scale 0..1 → logits [n k]; or the
            spec of a pretrained model, as for `cnnshift bench` ("onnx:net.onnx").
        data: a data set spec, whose test split is used; or (images [n h w c], labels [n]); or a `cnnshift.Split`, which
            also has a background value and context. Images are uint8, or floats from 0 to 1.
        protocol: how images are shifted: circular, zero, crop, reflect, replicate, fourier or bilinear.
        shifts: shift set: grid, full, axis, diagonal or random:K.
        max_shift: largest shift in pixels; None for the default of the protocol.
        step: spacing of the shifts in pixels; None for the default of the protocol.
        metrics: ids of the metrics to compute; empty for all.
        limit: number of test images, a seeded subset; None for all.
        batch_size: images per call; None chooses automatically.
        engine: `direct` runs every forward pass, `shared` shares them between shifts, `auto` chooses.
        name: name of the model in the run; ignored for a spec, which is used as the name.

    Returns:
        The run. `run.metric("pairwise_consistency")` has the `value` and its interval `ci95`.

    Raises:
        InputError: an argument is invalid, or the model does not fit the images.
        MeasurementError: the model returns logits that are not finite.

    Example:
        >>> import cnnshift
        >>> from cnnshift.models.base import build
        >>> from cnnshift.spec import ModelSpec
        >>> net = build(ModelSpec.parse("cnn:padding=circular,head=gap,pool=aps"), (32, 32, 1), 10, seed=0)
        >>> run = cnnshift.measure(net, max_shift=2, limit=20)
        >>> run.metric("pairwise_consistency").value
        1.0
    """
    from cnnshift.bench.cell import measure_model

    config = make_config(
        protocols=_as_protocols(protocol), shifts=shifts, max_shift=max_shift, step=step, metrics=metrics, limit=limit,
        batch_size=batch_size, engine=engine,
    )  # fmt: skip
    return measure_model(model, data, config, name=name)


def explain(
    model: str | Callable[[Any], Any],
    data: Images = DEFAULTS.dataset,
    *,
    protocol: str = DEFAULTS.protocols[0],
    shifts: str = DEFAULTS.shifts,
    max_shift: Pixels = DEFAULTS.max_shift,
    step: Pixels = DEFAULTS.step,
    limit: int | None = DEFAULT_EXPLAIN_LIMIT,
    epochs: int | None = DEFAULTS.epochs,
    seed: int = DEFAULTS.seed,
    ablation: bool = True,
    name: str = "model",
) -> Explanation:
    """Measure which layers of a model break translation equivariance, by how much, and why.

    Args:
        model: a model spec, which is trained as `cnnshift bench` trains it; or a Flax NNX module or any traceable
            function, images [n h w c] on the scale 0..1 → logits [n k].
        data: a data set spec or images, see `measure`.
        protocol: shift protocol of the predictions. Layers are always measured under circular shifts.
        shifts: shift set of the predictions.
        max_shift: largest shift of the predictions in pixels, see `measure`.
        step: spacing of these shifts in pixels, see `measure`.
        limit: number of test images, a seeded subset. Layers are measured on the first 32.
        epochs: training epochs of a spec; 0 leaves the model untrained.
        seed: seed of the training run of a spec.
        ablation: whether to train the variants of a spec with one, or all but one, of its components replaced.
        name: name of a model that is not a spec.

    Returns:
        The explanation: `print` shows its summary; `layers` and `ablation` hold the numbers.

    Raises:
        InputError: an argument is invalid, or the model does not fit the images.
        MeasurementError: a layer or the model returns values that are not finite.

    Example:
        >>> import cnnshift
        >>> result = cnnshift.explain("cnn:padding=circular,head=gap,pool=aps", epochs=0, limit=8, ablation=False)
        >>> result.layers[-1].causes, result.run.metric("pairwise_consistency").value
        ([], 1.0)
    """
    from cnnshift.explanation.explain import explain_model

    config = make_config(
        protocols=_as_protocols(protocol),
        shifts=shifts,
        max_shift=max_shift,
        step=step,
        limit=limit,
        epochs=epochs,
        seed=seed,
    )
    return explain_model(model, data, config, ablation=ablation, name=name)


def compare(
    *results: Result | Run | str | Path,
    reference: str | None = None,
    fail_if: Sequence[str] = (),
    require: Sequence[str] = (),
    on_inconclusive: str | None = None,
    exact: bool = False,
    allow_missing: bool = False,
    allow_incomparable: bool = False,
) -> Comparison:
    """Compare the models of one result with a reference model, or several results with the first.

    Args:
        results: results, single runs, or names of result files; `last` is the newest result.
        reference: with one result, the model to compare the others with; by default the first.
        fail_if: gates, `METRIC:MARGIN`; by default those of pyproject.toml, else the headline metrics with their
            default margins, which apply only to several results.
        require: requirements, `METRIC>=VALUE`; by default those of pyproject.toml.
        on_inconclusive: effect of an inconclusive difference: warn, fail or pass.
        exact: with several results, require equal predictions of equal weights.
        allow_missing: ignore runs without a counterpart.
        allow_incomparable: ignore runs that were measured under other conditions.

    Returns:
        The comparison; its `status` is `passed`, `failed` or `incomparable`.

    Raises:
        InputError: no result is given, a file is not a result, or a gate is invalid.
        IncomparableError: with several results, the baseline file does not exist.

    Example:
        >>> import cnnshift, jax.numpy as jnp
        >>> brightness = lambda images: images.mean(axis=(1, 2)) @ jnp.arange(10.0)[None]
        >>> run = cnnshift.measure(brightness, max_shift=1, limit=20)
        >>> cnnshift.compare(run, run).status
        'passed'
    """
    from cnnshift.comparison.compare import compare_models, compare_results
    from cnnshift.comparison.gates import Absence, resolve_policy

    allowed: dict[Absence, bool] = {"missing": allow_missing, "incomparable": allow_incomparable}
    policy = resolve_policy(
        _as_list(fail_if),
        _as_list(require),
        on_inconclusive,
        allowed=[verdict for verdict, is_allowed in allowed.items() if is_allowed],
    )
    loaded: dict[str, Result] = {}
    for position, item in enumerate(results, start=1):
        name = str(item) if isinstance(item, str | Path) else f"result {position}"
        # The same file may be given twice.
        name = f"{name} ({position})" if name in loaded else name
        loaded[name] = _as_result(item, is_baseline=position == 1 < len(results))
    if not loaded:
        raise InputError("compare got no result; it needs one or more.")
    if len(loaded) > 1:
        if reference is not None:
            raise InputError(f"reference is '{reference}'; it is allowed only with one result, not {len(loaded)}.")
        return compare_results(loaded, policy, exact=exact)
    if exact:
        raise InputError("exact compares the predictions of two or more results; there is one.")
    ((name, result),) = loaded.items()
    return compare_models(name, result, policy, reference=reference)


def _as_result(item: Result | Run | str | Path, *, is_baseline: bool) -> Result:
    from cnnshift.results.schema import Result, Run

    if isinstance(item, str | Path):
        # A missing baseline has an exit code of its own: a gate without a baseline must not pass as a typing error.
        if is_baseline and not locate(str(item)).exists():
            raise IncomparableError(f"The baseline {item} does not exist.")
        return load_result(item)
    if isinstance(item, Result):
        return item
    if not isinstance(item, Run):
        raise InputError(f"{item!r:.80} cannot be compared; allowed: results, runs and names of result files.")
    return Result(
        status="complete", created="", cnnshift_version=cnnshift.__version__, config={}, environment={}, runs=[item]
    )


def _as_protocols(protocol: str) -> list[str]:
    if not isinstance(protocol, str):
        raise InputError(f"protocol is {protocol!r:.80}; allowed: the name of one protocol.")
    return [protocol]


def _as_list(texts: str | Sequence[str]) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts
