"""Wrappers: group average, maximum over a group, spatial transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from cnnshift.catalog import MODELS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.explanation.capture import capture
from cnnshift.models.base import build, describe_options, parse_model
from cnnshift.models.group_pooling import group_shifts
from cnnshift.models.layers.grid_sampling import affine_grid, grid_sample
from cnnshift.models.wrapper import Wrapper
from cnnshift.shifts.circular import Circular
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import ModelSpec
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.train.load_or_train import plan_training

SIZE = (8, 8)
RNG = np.random.RandomState(0)
IMAGES = jnp.asarray(RNG.random_sample((3, *SIZE, 2)), jnp.float32)
SMALL = "width=2,depth=1"
IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def make(text):
    return build(ModelSpec.parse(text), (*SIZE, 2), 4, seed=1)


def everywhere(function, images):
    """Return the values for all circular shifts of 8×8 images: [s n …], row by row."""
    shifts = jnp.asarray([(dy, dx) for dy in range(8) for dx in range(8)])
    return np.asarray(jax.jit(lambda s: jax.lax.map(lambda d: function(jnp.roll(images, d, axis=(1, 2))), s))(shifts))


@pytest.mark.parametrize("name", ["orbit", "ti_pool"])
def test_group_pooling_is_invariant_for_any_backbone(name):
    # 64 shifts in four batches; the backbone has zero padding, a stride and a flattened map.
    model = make(f"{name}:step=1,{SMALL}")
    found = everywhere(model, IMAGES)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), rtol=1e-5, atol=1e-5)
    alone = everywhere(model.backbone, IMAGES)
    assert np.abs(alone - alone[0]).max() > 0.1


@pytest.mark.parametrize(("name", "reduce"), [("orbit", np.mean), ("ti_pool", np.max)])
@pytest.mark.parametrize("step", [1, 4])
def test_group_pooling_equals_its_formula(name, reduce, step):
    model = make(f"{name}:step={step},{SMALL}")
    backbone = model.backbone
    embeddings = everywhere(lambda x: backbone.embed(backbone.features(x)), IMAGES)
    chosen = [8 * dy + dx for dy, dx in group_shifts(SIZE, step)]
    assert len(chosen) == 64 // step**2
    expected = (
        reduce(embeddings[chosen], axis=0) @ backbone.classifier.kernel[...] + backbone.classifier.bias[...][None]
    )
    np.testing.assert_allclose(model(IMAGES), expected, rtol=1e-5, atol=1e-5)
    if name == "orbit":
        logits = everywhere(backbone, IMAGES)[chosen].mean(axis=0)
        np.testing.assert_allclose(model(IMAGES), logits, rtol=1e-5, atol=1e-5)
    if step > 1:
        found = everywhere(model, IMAGES).reshape(8, 8, 3, 4)
        np.testing.assert_allclose(found[4:, :4], found[:4, 4:], rtol=1e-5, atol=1e-5)
        assert np.abs(found[1] - found[0]).max() > 0.01
        assert model.total_stride == model.circular_stages(SIZE)[0].stride == step
    assert model.circular_stages((9, 9)) is None or step == 1


def test_batches_of_shifts_preserve_value_and_gradient(monkeypatch):
    model = make(f"orbit:step=2,{SMALL}")
    graph, weights = nnx.split(model)

    def value_and_gradient():
        def loss(weights):
            return (nnx.merge(graph, weights)(IMAGES) ** 2).sum()

        return jax.jit(jax.value_and_grad(loss))(weights)

    single_batch = value_and_gradient()
    monkeypatch.setattr("cnnshift.models.group_pooling.MAX_SHIFTS_PER_BATCH", 4)
    several_batches = value_and_gradient()
    for a, b in zip(jax.tree.leaves(single_batch), jax.tree.leaves(several_batches), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_training_updates_the_running_statistics_of_the_backbone(monkeypatch):
    model = make(f"orbit:step=4,{SMALL},norm=batch")
    monkeypatch.setattr("cnnshift.models.group_pooling.MAX_SHIFTS_PER_BATCH", 2)
    start = np.asarray(model.backbone.blocks[0].norm.mean[...])
    model(IMAGES)
    np.testing.assert_array_equal(model.backbone.blocks[0].norm.mean[...], start)
    model.train()
    model(IMAGES)
    once = np.asarray(model.backbone.blocks[0].norm.mean[...])
    assert np.abs(once - start).max() > 1e-3
    model.eval()
    model(IMAGES)
    np.testing.assert_array_equal(model.backbone.blocks[0].norm.mean[...], once)


def bilinear(image, grid):
    """Evaluate equation (5) pixel by pixel."""
    out = np.zeros((*grid.shape[:2], image.shape[2]))
    for i, j in np.ndindex(*grid.shape[:2]):
        for r, q in np.ndindex(*image.shape[:2]):
            weight = max(0, 1 - abs(grid[i, j, 0] - r)) * max(0, 1 - abs(grid[i, j, 1] - q))
            out[i, j] += weight * image[r, q]
    return out


def test_sampler_equals_the_sum_of_the_paper():
    images = RNG.random_sample((2, 4, 5, 2)).astype(np.float32)
    # Inside, across the border, and far outside the image.
    grid = RNG.uniform(-2.5, 6.5, (2, 6, 4, 2)).astype(np.float32)
    grid[0, 0] = [[0, 0], [3, 4], [-1, 2], [4, 5]]
    grid[0, 1] = [[3.5, 4.5], [-0.5, -0.5], [1e6, 1], [1, -1e6]]
    expected = np.stack([bilinear(*pair) for pair in zip(images, grid, strict=True)])
    np.testing.assert_allclose(grid_sample(jnp.asarray(images), jnp.asarray(grid)), expected, atol=1e-5)


def test_gradient_of_the_sampler_equals_that_of_the_sum():
    image = RNG.random_sample((4, 5, 1)).astype(np.float32)
    inside = (RNG.randint(-1, 4, (3, 3, 2)) + RNG.uniform(0.1, 0.9, (3, 3, 2))).astype(np.float32)

    def total(grid):
        return grid_sample(jnp.asarray(image)[None], grid[None]).sum()

    gradient = jax.grad(total)(jnp.asarray(inside))
    for index in np.ndindex(*inside.shape):
        step = np.zeros_like(inside)
        step[index] = 0.05
        derivative = (bilinear(image, inside + step) - bilinear(image, inside - step)).sum() / 0.1
        np.testing.assert_allclose(gradient[index], derivative, atol=1e-4)
    # At whole pixels, the derivative is right-sided.
    at = jax.grad(total)(jnp.asarray([[[1.0, 2.0]]]))
    np.testing.assert_allclose(at[0, 0], [image[2, 2, 0] - image[1, 2, 0], image[1, 3, 0] - image[1, 2, 0]], atol=1e-6)


def transformed(theta, images):
    count = len(images)
    return np.asarray(grid_sample(images, affine_grid(jnp.broadcast_to(jnp.asarray(theta), (count, 2, 3)), SIZE)))


def test_grid_of_known_transformations():
    np.testing.assert_array_equal(transformed(IDENTITY, IMAGES), IMAGES)
    moved = IDENTITY.copy()
    # Read two columns to the right and one row up: 2/(W − 1) is a pixel.
    moved[:, 2] = 2 * 2 / 7, -1 * 2 / 7
    expected = np.zeros_like(IMAGES)
    expected[:, 1:, :-2] = IMAGES[:, :-1, 2:]
    np.testing.assert_allclose(transformed(moved, IMAGES), expected, atol=1e-5)
    np.testing.assert_allclose(transformed(np.diag([-1.0, 1.0])[:, [0, 1, 1]] * [1, 1, 0], IMAGES), IMAGES[:, :, ::-1])
    swapped = np.array([[0, 1, 0], [1, 0, 0]], np.float32)
    np.testing.assert_allclose(transformed(swapped, IMAGES), IMAGES.swapaxes(1, 2), atol=1e-5)
    # Corners of the output read the corners of the input for any sides.
    grid = affine_grid(jnp.asarray(swapped)[None], (5, 9))
    np.testing.assert_allclose(grid[0, 0, -1], [4, 0], atol=1e-6)
    np.testing.assert_array_equal(affine_grid(jnp.asarray(IDENTITY)[None], (1, 3))[0, 0], [[0, 0], [0, 1], [0, 2]])


@pytest.mark.parametrize("transform", ["affine", "translation"])
def test_a_spatial_transformer_starts_equal_to_its_backbone(transform):
    model = make(f"stn:transform={transform},{SMALL}")
    np.testing.assert_array_equal(model.transform(IMAGES), IMAGES)
    np.testing.assert_array_equal(model(IMAGES), make(f"cnn:{SMALL}")(IMAGES))


def test_a_spatial_transformer_learns_translations():
    """Train the localisation network to shift spots to the middle."""
    places = np.random.RandomState(0).randint(1, 6, (32, 2))
    spots = np.zeros((32, *SIZE, 2), np.float32)
    for image, (y, x) in zip(spots, places, strict=True):
        image[y : y + 2, x : x + 2] = 1
    spots = jnp.asarray(spots)
    graph, weights, rest = nnx.split(make(f"stn:transform=translation,{SMALL}"), nnx.Param, ...)
    optimizer = optax.adam(1e-2)

    def loss(weights):
        # Not a squared difference, which has local maxima between pixels because interpolation blurs.
        return 1 - (nnx.merge(graph, weights, rest).transform(spots) * target[None]).sum() / (len(spots) * 8)

    # Maximal in the middle, with a gradient everywhere.
    away = jnp.arange(8) - 3.5
    target = jnp.broadcast_to(jnp.exp(-(away[:, None] ** 2 + away[None] ** 2) / 8)[..., None], (*SIZE, 2))

    @jax.jit
    def step(weights, moments):
        value, gradient = jax.value_and_grad(loss)(weights)
        update, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(weights, update), moments, value, gradient

    moments, losses = optimizer.init(weights), []
    for _ in range(200):
        weights, moments, value, gradient = step(weights, moments)
        losses.append(float(value))
    found = nnx.merge(graph, gradient, rest).localisation
    assert all(np.abs(leaf[...]).max() > 0 for leaf in (found.blocks[0].weights.kernel, found.theta.kernel))
    assert losses[-1] < 0.5 * losses[0]
    # The spread of the centres falls below half.
    moved = np.asarray(nnx.merge(graph, weights, rest).transform(spots))[..., 0]
    at = np.arange(8)
    for axis in (1, 2):
        before, after = ((maps.sum(axis=3 - axis) @ at) / maps.sum(axis=(1, 2)) for maps in (spots[..., 0], moved))
        assert np.std(after) < 0.5 * np.std(before)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("stn:backbone=cnn", "stn"),
        ("stn:padding=circular,aps=l2,pool=aps,backbone=cnn,transform=translation", None),
        ("stn:backbone=mlp,width=7", "stn:backbone=mlp,width=7"),
        ("orbit:width=8,step=4", "orbit:step=4"),
    ],
)
def test_specs_are_canonical(text, canonical):
    spec = ModelSpec.parse(text)
    _, options = parse_model(spec)
    again = ModelSpec(spec.name, options.changed())
    assert parse_model(again)[1] == options
    if canonical:
        assert str(again) == canonical
    else:
        assert next(iter(again.options)) == "transform"
        assert {"pool": "aps", "padding": "circular"}.items() <= again.options.items() <= spec.options.items()


def test_options_of_the_backbone_are_serialized():
    def dump(text):
        return str(parse_model(ModelSpec.parse(text))[1].model_dump(mode="json"))

    texts = ["orbit", "orbit:width=4", "orbit:pool=blur,blur=3", "orbit:pool=blur,blur=5", "orbit:backbone=mlp"]
    assert len({dump(text) for text in texts}) == len(texts)
    assert "backbone_version" in dump("stn")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stn:colour=red", r"'stn' has no option 'colour'; allowed: backbone, transform, pool, width, .*norm"),
        (
            "orbit:backbone=mlp,pool=max",
            r"'orbit' has no option 'pool'; allowed: backbone, step, width, depth, activation",
        ),
        ("stn:transform=rigid", "'stn' option transform is 'rigid'"),
        ("stn:kernel=4", "'backbone=cnn' option kernel is '4'"),
        ("orbit:step=3", r"step is 3; allowed for images of 8×8 pixels: 1, 2, 4, 8\."),
        ("orbit:backbone=stn", "backbone is 'stn', which is a wrapper itself; allowed: mlp, cnn"),
        ("ti_pool:backbone=ti_pool", "backbone is 'ti_pool', which is a wrapper"),
        ("ti_pool:backbone=resnet0", "Unknown model 'resnet0'"),
        ("stn:inner=cnn", "'stn' has no option 'inner'"),
        ("stn:around=cnn", r"'stn' has no option 'around'; it was renamed to 'backbone'\."),
    ],
)
def test_errors_are_one_sentence(text, message):
    with pytest.raises(InputError, match=message):
        make(text)


@pytest.mark.parametrize("name", [name for name in MODELS if issubclass(MODELS.load(name), Wrapper)])
def test_options_do_not_collide_and_are_described(name):
    keys = [key for key in MODELS.load(name).options_type.model_fields if key != "backbone_options"]
    for backbone in (each for each in MODELS if not issubclass(MODELS.load(each), Wrapper)):
        assert not set(keys) & set(MODELS.load(backbone).options_type.keys({}))
    lines = {line.key: line for line in describe_options(parse_model(ModelSpec(name, {"backbone": "mlp"}))[1])}
    assert "mlp" in lines["backbone"].allowed
    assert "orbit" not in lines["backbone"].allowed
    assert {*keys, "width", "activation"} <= lines.keys()


def test_the_learning_rate_is_that_of_the_backbone(monkeypatch):
    split = Split(RNG.randint(0, 256, (4, *SIZE, 2), dtype=np.uint8), np.arange(4), tuple("abcd"), (0.0, 0.0))
    monkeypatch.setattr(MODELS.load("mlp"), "learning_rate", 0.003)
    assert plan_training(ModelSpec.parse("orbit:backbone=mlp"), split).recipe.learning_rate == 0.003
    assert plan_training(ModelSpec.parse("orbit"), split).recipe.learning_rate == 0.01


def test_shared_passes_equal_direct_ones():
    split = Split(RNG.randint(0, 256, (4, *SIZE, 2), dtype=np.uint8), np.arange(4), tuple("abcd"), (0.0, 0.0))
    shifts = enumerate_shifts("full", max_shift=3, step=1, size=SIZE, wraps=True, images=4)
    pure = as_pure_model(make(f"orbit:step=4,{SMALL}"))
    direct, shared = (
        run_sweep(pure, split, Circular(SIZE, reach=shifts.reach), shifts, engine=engine)
        for engine in ("direct", "shared")
    )
    assert shared.forward_passes == 4 * (4**2 + 1)
    np.testing.assert_array_equal(shared.observations.prediction, direct.observations.prediction)
    np.testing.assert_allclose(shared.observations.probability, direct.observations.probability, atol=1e-5)


@pytest.mark.parametrize("count", [2, 4, 5])
def test_layers_of_an_orbit_do_not_depend_on_the_number_of_images(count):
    """Count shifts, or batches of them, never as images, even with equal numbers."""
    images = jnp.zeros((count, *SIZE, 2))
    names = [step.name for step in capture(make(f"orbit:step=4,{SMALL}"), images).steps]
    assert names == ["pool_over_group", "features", "embed", "backbone.classifier"]
