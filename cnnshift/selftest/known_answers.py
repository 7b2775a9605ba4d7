"""Known answers: identities of translation equivariance, each with a function that measures the deviation from it.

The networks are untrained and the images random, both from fixed seeds. They use the layers and the engine of a
benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.catalog import METRICS, PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.explanation.equivariance import eq_t, equivariance_error
from cnnshift.metrics.profiles import profile_by_radius
from cnnshift.models.base import Options, build
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.downsampler import dense_max
from cnnshift.models.layers.max_pool import MaxPool
from cnnshift.observations import Observations
from cnnshift.results.selftest import KnownAnswerRecord
from cnnshift.selftest.subpixel import activation_error
from cnnshift.spec import ModelSpec
from cnnshift.sweep.bind_protocol import bind_protocol
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.engine import Engine, run_sweep
from cnnshift.sweep.pure_model import PureModel, as_pure_model

SIZE, IMAGES, CLASSES = 16, 6, 5

ROUNDING = 1e-5
"""Largest rounding error in float32, relative to the largest value; 100 times larger in TF32 and bfloat16."""


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A statement that must hold on every device.

    Attributes:
        title: the statement.
        measure: returns the deviation from it.
        limit: largest deviation that passes; 0 requires bitwise equality.
        at_least: whether the deviation must exceed the limit instead (a negative control).
    """

    title: str
    measure: Callable[[], float]
    limit: float = ROUNDING
    at_least: bool = False

    def holds(self, deviation: float) -> bool:
        """Return whether a measured deviation passes."""
        return deviation > self.limit if self.at_least else deviation <= self.limit


def _images() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (IMAGES, SIZE, SIZE, 2)).astype(np.uint8)


def _split() -> Split:
    labels = (np.arange(IMAGES) % CLASSES).astype(np.int32)
    return Split(_images(), labels, tuple("abcde"), background=(0.0, 0.0))


def _observe(
    model: str | PureModel,
    *,
    protocol: str = "circular",
    shifts: str = "full",
    radius: int = 4,
    split: Split | None = None,
    engine: Engine = "direct",
) -> Observations:
    split = split or _split()
    if isinstance(model, str):
        model = as_pure_model(build(ModelSpec.parse(model), (*split.size, split.channels), CLASSES, seed=0))
    mover, shift_set = bind_protocol(PROTOCOLS.load(protocol), split, shifts=shifts, max_shift=radius, step=1)
    return run_sweep(model, split, mover, shift_set, engine=engine).observations


def _relative_distance(observations: Observations) -> np.ndarray:
    """Return the distance of the logits at every shift, relative to the norm of the unshifted logits."""
    return observations.distance / np.linalg.norm(observations.reference_logits, axis=1, keepdims=True)


def _convolution(padding: str, *, outputs: int = 4, stride: int = 1) -> Convolution:
    return Convolution((SIZE, SIZE, 2), outputs, 3, padding=padding, stride=stride, rngs=nnx.Rngs(0))  # pyright: ignore[reportArgumentType]


def _pixels() -> Array:
    return jnp.asarray(_images(), jnp.float32) / 255


def _direction() -> float:
    """Count the shifts, over all protocols, that do not move a pixel from (i, j) to (i + dy, j + dx)."""
    wrong = 0
    impulse = np.zeros((1, 14, 14, 1), np.float32)
    impulse[0, 3 + 3, 3 + 4, 0] = 1.0
    shifts = np.array([(2, 0), (0, 3), (-1, 2)])
    for name in PROTOCOLS:
        protocol = PROTOCOLS.load(name)((8, 8), reach=3, context=3)
        moved = jax.jit(jax.vmap(partial(protocol.shift, jnp.asarray(impulse))))(shifts)
        position = np.stack(np.divmod(np.asarray(moved).reshape(len(shifts), -1).argmax(axis=1), 8), axis=1)
        wrong += int((position - shifts != (3, 4)).any(axis=1).sum())
    return float(wrong)


def _precision() -> float:
    """Compare a matrix product with the float64 product on the host."""
    random = np.random.RandomState(1)
    a, b = random.randn(64, 256), random.randn(256, 64)
    product, exact = _product(a.astype(np.float32), b.astype(np.float32)), a @ b
    return float(np.abs(np.asarray(product, np.float64) - exact).max() / np.abs(exact).max())


def _product(a: Float[np.ndarray, "i j"], b: Float[np.ndarray, "j k"]) -> Float[Array, "i k"]:
    with jax.default_matmul_precision(PRECISION):
        return jnp.asarray(a) @ jnp.asarray(b)


def _integer_weights() -> float:
    layer = _convolution("circular")
    layer.kernel[...] = jnp.asarray(np.random.RandomState(2).randint(-3, 4, layer.kernel[...].shape), jnp.float32)
    total = jax.jit(lambda x: jax.nn.relu(layer(x)).sum(axis=(1, 2)))
    x = jnp.asarray(_images() % 16, jnp.float32)
    return max(float(jnp.abs(total(jnp.roll(x, d, (1, 2))) - total(x)).max()) for d in ((1, 0), (0, 1), (5, 7)))


def _stride(shift: int) -> float:
    layer = jax.jit(_convolution("circular", stride=2))
    x = _pixels()
    # On the host, because every roll by constant amounts would be compiled separately.
    moved, unshifted = (np.asarray(layer(each)) for each in (jnp.roll(x, (shift, shift), (1, 2)), x))
    rolls = [np.roll(unshifted, (a, b), (1, 2)) for a in range(SIZE // 2) for b in range(SIZE // 2)]
    return min(float(np.abs(moved - rolled).max() / np.abs(rolled).max()) for rolled in rolls)


def _phases() -> float:
    """Return the spread of the outputs that f(T_d x) = f(T_{d mod 4} x) requires to be equal at a total stride of 4."""
    observations = _observe("cnn:pool=stride,padding=circular,head=gap,width=4,depth=2")
    phase = observations.shifts[:, 0] % 4 * 4 + observations.shifts[:, 1] % 4
    return float(max(np.ptp(observations.probability[:, phase == p], axis=1).max() for p in range(16)))


def _pooled(pool: str, head: str = "gap") -> float:
    return float(_relative_distance(_observe(f"cnn:pool={pool},padding=circular,head={head},width=4,depth=2")).max())


def _flattened() -> float:
    return float(np.median(_relative_distance(_observe("cnn:padding=circular,head=flatten,width=4"))))


def _dense_maximum() -> float:
    layer, x = jax.jit(lambda x: dense_max(x, "circular")), _pixels()
    shifts = ((1, 0), (0, 1), (3, 5))
    return max(float(jnp.abs(layer(jnp.roll(x, d, (1, 2))) - jnp.roll(layer(x), d, (1, 2))).max()) for d in shifts)


def _impulse() -> float:
    """Return the share of impulses whose 2×2 max-pool of stride 2 is unchanged by a 1-px shift, minus ½."""
    layer = jax.jit(MaxPool(1, padding="circular", options=Options(), rngs=nnx.Rngs(0)))
    impulses = jnp.eye(64).reshape(64, 8, 8, 1)
    same = (layer(jnp.roll(impulses, 1, axis=1)) == layer(impulses)).all(axis=(1, 2, 3))
    return abs(float(same.mean()) - 0.5)


def _orbit_average() -> float:
    inner = as_pure_model(build(ModelSpec.parse("mlp"), (SIZE, SIZE, 2), CLASSES, seed=0))

    def average(state: object, images: Array) -> tuple[Array, None]:
        def shifted(d: Array) -> Array:
            return inner.apply(state, jnp.roll(images, jnp.stack([d // SIZE, d % SIZE]), (1, 2)))[0]

        return jax.lax.map(shifted, jnp.arange(SIZE * SIZE)).mean(axis=0), None

    return float(_relative_distance(_observe(PureModel(average, inner.state), shifts="axis", radius=3)).max())


def _margin() -> float:
    """Return the largest difference between circular, zero and crop within the margin of a canvas."""
    canvas = _split().on_canvas(SIZE + 4)
    observations = [
        _observe("cnn:width=4,depth=1", protocol=name, split=canvas, shifts="grid", radius=2)
        for name in ("circular", "zero", "crop")
    ]
    names = ("prediction", "probability", "distance")
    return float(
        max(np.abs(getattr(observations[0], n) - getattr(other, n)).max() for n in names for other in observations[1:])
    )


def _zero_padding(*, interior: bool) -> float:
    """Return the error of a zero-padded 3×3 convolution at 1 px, outside rows and columns 0, 1, N − 1 if `interior`."""
    layer, x = jax.jit(_convolution("zero")), _pixels()
    error = jnp.abs(layer(jnp.roll(x, (1, 1), (1, 2))) - jnp.roll(layer(x), (1, 1), (1, 2)))
    return float((error[:, 2:-1, 2:-1] if interior else error).max() / jnp.abs(layer(x)).max())


def _constant() -> float:
    def constant(state: object, images: Array) -> tuple[Array, None]:
        return jnp.zeros((len(images), CLASSES)).at[:, 1].set(1.0), None

    observations = _observe(PureModel(constant, {}), shifts="grid", radius=2)
    expected = {"pairwise_consistency": 1.0, "flip_probability": 0.0, "mac": 0.0, "kappa": 0.0}
    values = {id: METRICS.load(id).summarize(observations).value for id in expected}
    return max(np.inf if values[id] is None else abs(values[id] - value) for id, value in expected.items())


def _worst_case() -> float:
    """Return by how much the worst-case accuracy exceeds the mean, or increases with the radius."""
    observations = _observe("cnn:width=4", shifts="grid", protocol="zero")
    worst = profile_by_radius(observations, 1.0).worst_case_accuracy
    mean, least = (METRICS.load(id).summarize(observations).value for id in ("shifted_accuracy", "worst_case_accuracy"))
    assert mean is not None
    assert least is not None
    return float(max(0.0, least - mean, *np.diff(worst)))


def _engines() -> float:
    spec = "cnn:padding=circular,head=flatten,width=4,depth=2"
    direct, shared = (_observe(spec, engine=engine) for engine in ("direct", "shared"))
    names = ("prediction", "probability", "cosine")
    return float(max(np.abs(getattr(direct, n) - getattr(shared, n)).max() for n in names))


def _vision_transformer(shift: int, position: str) -> float:
    spec = ModelSpec.parse(f"vit:patch=4,depth=1,width=8,heads=2,position={position},head=gap")
    logits, x = jax.jit(build(spec, (SIZE, SIZE, 2), CLASSES, seed=0)), _pixels()
    return float(equivariance_error(logits(jnp.roll(x, (shift, -shift), (1, 2))), logits(x)).max())


_negative = partial(KnownAnswer, at_least=True)

KNOWN_ANSWERS: Mapping[str, KnownAnswer] = {
    "T": KnownAnswer("a shift (dy, dx) moves content down and right", _direction, 0.0),
    "P": KnownAnswer(f"matrix products have 32-bit precision ('{PRECISION}')", _precision, 1e-6),
    "K1": KnownAnswer("stride 1, circular padding, global average: invariant to every shift", lambda: _pooled("none")),
    "K1b": KnownAnswer("stride 1, circular padding, sum, integer weights: bitwise invariant", _integer_weights, 0.0),
    "K2": KnownAnswer("a circular convolution of stride 2 is equivariant to a 2-px shift", lambda: _stride(2)),
    "K2c": _negative("a circular convolution of stride 2 is not equivariant to a 1-px shift", lambda: _stride(1), 1e-3),
    "K3": KnownAnswer("total stride S, circular padding: the output depends only on d mod S", _phases),
    "K5": KnownAnswer("adaptive polyphase sampling, untrained: invariant to every shift", lambda: _pooled("aps")),
    "K6": KnownAnswer("a circular max-pool of stride 1 is bitwise equivariant", _dense_maximum, 0.0),
    "K6b": KnownAnswer("a 1-px shift changes the 2×2 max-pool of half of all impulses", _impulse, 0.0),
    "K7": KnownAnswer(
        "stride 1, circular padding, global maximum: bitwise invariant", lambda: _pooled("none", "gmp"), 0.0
    ),
    "K8": _negative("a fully connected head is not invariant", lambda: _pooled("none", "flatten"), 0.05),
    "K9": KnownAnswer("the average of any network over all shifts is invariant", _orbit_average),
    "K11": KnownAnswer(
        "squaring at twice the resolution is equivariant to a ⅓-px shift", lambda: activation_error(jnp.square, 1 / 3)
    ),
    "K11c": _negative(
        "ReLU at twice the resolution is not equivariant to a ⅓-px shift",
        lambda: activation_error(jax.nn.relu, 1 / 3),
        1e-3,
    ),
    "K11h": KnownAnswer(
        "ReLU at twice the resolution is equivariant to a ½-px shift", lambda: activation_error(jax.nn.relu, 1 / 2)
    ),
    "K12": KnownAnswer(
        "EQ-T of an MSE of 0.01 on values from −1 to 1 is 26.0206 dB",
        lambda: abs(float(eq_t(np.array([0.01]), 2.0)[0]) / 26.0206 - 1),
    ),
    "K13": KnownAnswer("within a canvas margin, circular, zero and crop agree bitwise", _margin, 0.0),
    "K15": KnownAnswer(
        "zero padding causes no errors outside rows and columns 0, 1, N − 1", lambda: _zero_padding(interior=True)
    ),
    "K15c": _negative("zero padding causes errors", lambda: _zero_padding(interior=False), 1e-3),
    "K18": KnownAnswer("a constant classifier has consistency 1, flip probability 0, MAC 0, kappa 0", _constant, 0.0),
    "K18b": KnownAnswer(
        "worst-case accuracy is at most shifted accuracy and never rises with radius", _worst_case, 0.0
    ),
    "K19": KnownAnswer(
        "a ViT of 4-px patches without position embedding: invariant to a 4-px shift",
        lambda: _vision_transformer(4, "none"),
    ),
    "K19c": _negative(
        "a ViT of 4-px patches without position embedding: not invariant to a 1-px shift",
        lambda: _vision_transformer(1, "none"),
        1e-3,
    ),
    "K19p": _negative(
        "a ViT of 4-px patches with position embedding: not invariant to a 4-px shift",
        lambda: _vision_transformer(4, "learned"),
        1e-3,
    ),
    "E": KnownAnswer("the shared and the direct engine agree", _engines),
}


def run_selftest(progress: Callable[[str], None] = lambda name: None) -> Iterator[KnownAnswerRecord]:
    """Call `progress` with the name of every known answer, then measure it. One that raises an exception fails."""
    for name, answer in KNOWN_ANSWERS.items():
        progress(name)
        deviation, reason = None, ""
        try:
            measured = answer.measure()
            deviation, reason = (measured, "") if math.isfinite(measured) else (None, f"the deviation is {measured}")
        except Exception as problem:
            # A broken backend may raise anything; the other answers are still worth measuring.
            reason = f"{type(problem).__name__}: {problem}".partition("\n")[0]
        yield KnownAnswerRecord(
            name=name,
            title=answer.title,
            deviation=deviation,
            limit=answer.limit,
            at_least=answer.at_least,
            holds=deviation is not None and answer.holds(deviation),
            reason=reason,
        )
