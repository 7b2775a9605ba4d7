"""The identities, each a function that measures by how much it fails; numbered as in the tests of the project.

Networks are untrained, images random, both from fixed seeds; every number comes through the layers and the engine that
a benchmark uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cnnshift.catalog import METRICS, PROTOCOLS
from cnnshift.data.split import Split
from cnnshift.metrics.profiles import profile_by_radius
from cnnshift.models.base import Options, build
from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.layers.dense_max import dense_max
from cnnshift.models.layers.max_pool import MaxPool
from cnnshift.observations import Observations
from cnnshift.selftest.fractions import activation_error, decibel_error
from cnnshift.selftest.patches import patch_error
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import ModelSpec
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.engine import Engine, run_sweep
from cnnshift.sweep.pure_model import PureModel, as_pure_model

SIZE, IMAGES, CLASSES = 16, 6, 5

ROUNDING = 1e-5
"""Of 32-bit arithmetic, relative to the largest value. TF32 and bfloat16 are a hundred times worse."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A known answer.

    Attributes:
        title: what must hold, in words.
        measure: the deviation from it.
        limit: largest deviation that passes; 0 asks for equality bit by bit.
        at_least: the deviation must be larger than the limit instead: a control that must fail.
    """

    title: str
    measure: Callable[[], float]
    limit: float = ROUNDING
    at_least: bool = False

    def holds(self, deviation: float) -> bool:
        """Whether a measured deviation passes."""
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
    kind = PROTOCOLS.load(protocol)
    found = enumerate_shifts(shifts, max_shift=radius, step=1, size=split.size, wraps=kind.wraps, images=len(split))
    moving = kind(split.size, reach=found.reach, context=split.context, background=split.background)
    return run_sweep(model, split, moving, found, engine=engine).observations


def _relative(seen: Observations) -> np.ndarray:
    """Distance of the logits at every shift, relative to the size of the unshifted ones."""
    return seen.distance / np.linalg.norm(seen.reference_logits, axis=1, keepdims=True)


def _gap(a: Float[Array, "*s"], b: Float[Array, "*s"]) -> float:
    """Largest difference, relative to the largest value."""
    return float(jnp.abs(a - b).max() / jnp.abs(b).max())


def _convolution(padding: str, *, outputs: int = 4, stride: int = 1) -> Convolution:
    return Convolution((SIZE, SIZE, 2), outputs, 3, padding=padding, stride=stride, rngs=nnx.Rngs(0))  # pyright: ignore[reportArgumentType]


def _pixels() -> Array:
    return jnp.asarray(_images(), jnp.float32) / 255


def _direction() -> float:
    """Every protocol moves a pixel at (i, j) to (i + dy, j + dx); counted are those that do not."""
    wrong = 0
    impulse = np.zeros((1, 14, 14, 1), np.float32)
    impulse[0, 3 + 3, 3 + 4, 0] = 1.0
    shifts = np.array([(2, 0), (0, 3), (-1, 2)])
    for name in PROTOCOLS:
        protocol = PROTOCOLS.load(name)((8, 8), reach=3, context=3)
        moved = jax.jit(jax.vmap(partial(protocol.shift, jnp.asarray(impulse))))(shifts)
        found = np.stack(np.divmod(np.asarray(moved).reshape(len(shifts), -1).argmax(axis=1), 8), axis=1)
        wrong += int((found - shifts != (3, 4)).any(axis=1).sum())
    return float(wrong)


def _precision() -> float:
    """A product of matrices against the same in 64 bits on the host."""
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
    # On the host: every roll by fixed amounts would be a program of its own.
    moved, still = (np.asarray(layer(each)) for each in (jnp.roll(x, (shift, shift), (1, 2)), x))
    rolls = [np.roll(still, (a, b), (1, 2)) for a in range(SIZE // 2) for b in range(SIZE // 2)]
    return min(float(np.abs(moved - rolled).max() / np.abs(rolled).max()) for rolled in rolls)


def _phases() -> float:
    """f(T_d x) = f(T_{d mod 4} x) at a total stride of 4: the spread of the outputs that must be equal."""
    seen = _observe("cnn:pool=stride,padding=circular,head=gap,width=4,depth=2")
    phase = seen.shifts[:, 0] % 4 * 4 + seen.shifts[:, 1] % 4
    return float(max(np.ptp(seen.probability[:, phase == p], axis=1).max() for p in range(16)))


def _pooled(pool: str, head: str = "gap") -> float:
    return float(_relative(_observe(f"cnn:pool={pool},padding=circular,head={head},width=4,depth=2")).max())


def _flattened() -> float:
    return float(np.median(_relative(_observe("cnn:padding=circular,head=flatten,width=4"))))


def _dense_maximum() -> float:
    layer, x = jax.jit(lambda x: dense_max(x, "circular")), _pixels()
    shifts = ((1, 0), (0, 1), (3, 5))
    return max(float(jnp.abs(layer(jnp.roll(x, d, (1, 2))) - jnp.roll(layer(x), d, (1, 2))).max()) for d in shifts)


def _impulse() -> float:
    """Share of the impulses that a 2×2 maximum at stride 2 does not see move by a pixel, minus ½."""
    layer = jax.jit(MaxPool(1, padding="circular", options=Options(), rngs=nnx.Rngs(0)))
    impulses = jnp.eye(64).reshape(64, 8, 8, 1)
    same = (layer(jnp.roll(impulses, 1, axis=1)) == layer(impulses)).all(axis=(1, 2, 3))
    return abs(float(same.mean()) - 0.5)


def _orbit() -> float:
    inner = as_pure_model(build(ModelSpec.parse("mlp"), (SIZE, SIZE, 2), CLASSES, seed=0))

    def average(state: object, images: Array) -> tuple[Array, None]:
        def shifted(d: Array) -> Array:
            return inner.apply(state, jnp.roll(images, jnp.stack([d // SIZE, d % SIZE]), (1, 2)))[0]

        return jax.lax.map(shifted, jnp.arange(SIZE * SIZE)).mean(axis=0), None

    return float(_relative(_observe(PureModel(average, inner.state), shifts="axis", radius=3)).max())


def _margin() -> float:
    """Circular = zero = crop within the margin of a canvas: the largest difference of any number."""
    canvas = _split().on_canvas(SIZE + 4)
    found = [
        _observe("cnn:width=4,depth=1", protocol=name, split=canvas, shifts="grid", radius=2)
        for name in ("circular", "zero", "crop")
    ]
    names = ("prediction", "probability", "distance")
    return float(max(np.abs(getattr(found[0], n) - getattr(other, n)).max() for n in names for other in found[1:]))


def _border() -> float:
    """Largest deviation of a zero-padded 3×3 convolution, rolled by a pixel, beyond rows and columns 0, 1, N − 1."""
    layer = jax.jit(_convolution("zero"))
    x = _pixels()
    wrong = jnp.abs(layer(jnp.roll(x, (1, 1), (1, 2))) - jnp.roll(layer(x), (1, 1), (1, 2)))
    return float(wrong[:, 2:-1, 2:-1].max() / jnp.abs(layer(x)).max())


def _border_is_seen() -> float:
    layer = jax.jit(_convolution("zero"))
    x = _pixels()
    return _gap(layer(jnp.roll(x, (1, 1), (1, 2))), jnp.roll(layer(x), (1, 1), (1, 2)))


def _constant() -> float:
    def constant(state: object, images: Array) -> tuple[Array, None]:
        return jnp.zeros((len(images), CLASSES)).at[:, 1].set(1.0), None

    seen = _observe(PureModel(constant, {}), shifts="grid", radius=2)
    expected = {"pairwise_consistency": 1.0, "flip_probability": 0.0, "mac": 0.0, "kappa": 0.0}
    found = {id: METRICS.load(id).summarize(seen).value for id in expected}
    return max(np.inf if found[id] is None else abs(found[id] - value) for id, value in expected.items())


def _worst_case() -> float:
    """By how much the worst case exceeds the mean, or grows with the radius."""
    seen = _observe("cnn:width=4", shifts="grid", protocol="zero")
    worst = profile_by_radius(seen).worst_case_accuracy
    mean, least = (METRICS.load(id).summarize(seen).value for id in ("shifted_accuracy", "worst_case_accuracy"))
    assert mean is not None
    assert least is not None
    return float(max(0.0, least - mean, *np.diff(worst)))


def _engines() -> float:
    spec = "cnn:padding=circular,head=flatten,width=4,depth=2"
    direct, shared = (_observe(spec, engine=engine) for engine in ("direct", "shared"))
    names = ("prediction", "probability", "cosine")
    return float(max(np.abs(getattr(direct, n) - getattr(shared, n)).max() for n in names))


IDENTITIES: Mapping[str, Identity] = {
    "T": Identity("a shift (dy, dx) moves content down and right", _direction, 0.0),
    "P": Identity(f"matrix products have the precision '{PRECISION}' of 32 bits", _precision, 1e-6),
    "K1": Identity("stride 1, circular, global average: invariant to every shift", lambda: _pooled("none")),
    "K1b": Identity("the same with whole numbers, bit by bit", _integer_weights, 0.0),
    "K2": Identity("a stride of 2 is equivariant to 2 pixels", lambda: _stride(2)),
    "K2c": Identity("and not to 1 pixel", lambda: _stride(1), 1e-3, at_least=True),
    "K3": Identity("total stride S: the output depends on d mod S only", _phases),
    "K5": Identity("adaptive polyphase sampling, untrained: invariant to every shift", lambda: _pooled("aps")),
    "K6": Identity("a dense circular maximum is equivariant, bit by bit", _dense_maximum, 0.0),
    "K6b": Identity("a 2×2 maximum sees half of all impulses move by a pixel", _impulse, 0.0),
    "K7": Identity("stride 1, circular, global maximum: invariant, bit by bit", lambda: _pooled("none", "gmp"), 0.0),
    "K8": Identity(
        "a fully connected head sees where things are", lambda: _pooled("none", "flatten"), 0.05, at_least=True
    ),
    "K9": Identity("the average over the orbit of any network is invariant", _orbit),
    "K11": Identity("a square at twice the resolution is exact at ⅓ px", lambda: activation_error(jnp.square, 1 / 3)),
    "K11c": Identity("and a rectifier is not", lambda: activation_error(jax.nn.relu, 1 / 3), 1e-3, at_least=True),
    "K11h": Identity("though at ½ px it looks exact", lambda: activation_error(jax.nn.relu, 1 / 2)),
    "K12": Identity("an error of 0.01 on values from −1 to 1 is 26.0206 dB", decibel_error),
    "K13": Identity("within a margin circular, zero and crop agree, bit by bit", _margin, 0.0),
    "K15": Identity("zero padding errs in rows and columns 0, 1, N − 1 only", _border),
    "K15c": Identity("and errs there", _border_is_seen, 1e-3, at_least=True),
    "K18": Identity("a constant classifier: consistency 1, flips 0, mac 0, kappa 0", _constant, 0.0),
    "K18b": Identity("the worst case is at most the mean and falls with the radius", _worst_case, 0.0),
    "K19": Identity(
        "a vision transformer without positions: invariant to a patch", lambda: patch_error(4, embedded=False)
    ),
    "K19c": Identity("and not to 1 pixel", lambda: patch_error(1, embedded=False), 1e-3, at_least=True),
    "K19p": Identity("nor, with a position embedding, to a patch", lambda: patch_error(4, embedded=True), 1e-3, True),
    "E": Identity("the shared engine sees what the direct one sees", _engines),
}
