"""Preprocessing and class names from the spec, from the TOML file beside the model, or from the model."""

import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift.errors import InputError
from cnnshift.loaders.loader import find_columns
from cnnshift.models.base import parse_options
from cnnshift.preprocess import Preprocess
from tests import external_models
from tests.external_models import DATA, load

IMAGES = np.random.RandomState(0).rand(2, 4, 5, 3).astype(np.float32)


@pytest.fixture
def factories(tmp_path):
    return external_models.write_factories(tmp_path)


def preprocess(**options):
    return np.asarray(parse_options(Preprocess, "py", options)(jnp.asarray(IMAGES)))


def test_preprocessing_equals_numpy():
    np.testing.assert_array_equal(preprocess(), IMAGES)
    np.testing.assert_allclose(preprocess(scale="255", mean="127.5", std="2"), (IMAGES * 255 - 127.5) / 2, rtol=1e-5)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    found = preprocess(mean="0.485/0.456/0.406", std="0.229/0.224/0.225")
    np.testing.assert_allclose(found, (IMAGES - mean) / std, rtol=1e-5, atol=1e-6)
    # The mean is in RGB order.
    found = preprocess(mean="0.485/0.456/0.406", channel_order="bgr", layout="nchw")
    np.testing.assert_allclose(found, (IMAGES - mean)[..., ::-1].transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "size"),
    [("8", (8, 8)), ("8x6", (8, 6)), (8, (8, 8)), ([8, 6], (8, 6)), ([8], (8, 8)), ((8, 6), (8, 6)), (None, None)],
)
def test_forms_of_a_size(value, size):
    found = parse_options(Preprocess, "py", {"size": value})
    assert found.size == size
    assert parse_options(Preprocess, "py", found.changed()) == found


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"size": value}
            for value in ("0", "-8", "8x", "x8", "8x8x8", "8.5", "eight", "99999", 0, [], [1, 2, 3], True)
        ),
        *({"mean": value} for value in ("a", "0.5/", "nan", "inf", "")),
        *({"std": value} for value in ("0", "-1", "1/0/1", "inf")),
        *({"scale": value} for value in ("0", "-255", "inf", "byte")),
        {"channel_order": "gbr"},
        {"layout": "chw"},
    ],
)
def test_invalid_preprocessing_options(options):
    with pytest.raises(InputError) as error:
        parse_options(Preprocess, "py", options)
    assert next(iter(options)) in str(error.value)
    assert "\n" not in str(error.value)


def test_number_of_values_per_channel(factories):
    with pytest.raises(InputError, match="mean has 2 values, but the images have 3 channels"):
        cnnshift.measure(f"py:{factories}:nnx:mean=0.5/0.5", DATA, max_shift=1)


def test_spec_overrides_toml_file_and_that_the_model(tmp_path, factories):
    factories.with_suffix(".toml").write_text('size = 8\nmean = [0.1, 0.2, 0.3]\nstd = 0.5\nchannel_order = "bgr"\n')
    found = load(f"py:{factories}:nnx:channel_order=rgb,std=2").preprocess
    assert found == Preprocess(size=(8, 8), mean=(0.1, 0.2, 0.3), std=(2.0,), channel_order="rgb")
    run = cnnshift.measure(f"py:{factories}:nnx:channel_order=rgb,std=2", DATA, max_shift=1)
    assert run.training.recipe.keys() == {"preprocess", "code"}
    assert run.training.recipe["preprocess"] == {"size": "8x8", "mean": "0.1/0.2/0.3", "std": "2"}
    images = (np.float32(DATA.images / 255) - np.float32([0.1, 0.2, 0.3])) / 2
    assert run.metric("accuracy").value == np.mean(external_models.logits(images).argmax(axis=1) == DATA.labels)
    assert (run.options, run.params) == ({"channel_order": "rgb", "std": "2"}, 132)


def test_renamed_option_is_refused_with_its_new_name(factories):
    with pytest.raises(InputError, match=r"has no option 'order'; it was renamed to 'channel_order'\."):
        load(f"py:{factories}:nnx:order=bgr")
    factories.with_suffix(".toml").write_text('order = "bgr"\n')
    with pytest.raises(InputError, match=r"has no option 'order'; it was renamed to 'channel_order'\."):
        load(f"py:{factories}:nnx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sizes = 8", "has the key 'sizes'; allowed: size, scale, mean, std, channel_order, layout, classes."),
        ("[tool]\nsize = 8", "has the key 'tool'"),
        ("size = ", "networks.toml cannot be read"),
        ("size = 'a'", "size"),
        ("mean = [0.5, 'a']", "mean"),
        ("classes = 3", "classes has entries that are not names"),
        ("classes = ['a', 'a']", "classes has the name 'a' twice"),
        ("classes = 'names.txt'", "names.txt', which cannot be read"),
        ("size = 1\nsize = 2", "networks.toml cannot be read"),
    ],
)
def test_invalid_toml_file(factories, text, message):
    factories.with_suffix(".toml").write_text(text)
    with pytest.raises(InputError) as error:
        load(f"py:{factories}:nnx")
    assert message in str(error.value), error.value
    assert "\n" not in str(error.value)


def test_toml_file_that_is_not_text(factories):
    factories.with_suffix(".toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"networks\.toml cannot be read"):
        load(f"py:{factories}:nnx")


def test_class_names_select_the_logits(tmp_path, factories):
    names = ("yak", "elk", "bee", "cat", "dog", "ant")
    factories.write_text(
        factories.read_text()
        + "\ndef six():\n    return lambda x: np.concatenate([np.full((len(x), 1), 99, np.float32), "
        "external_models.logits(np.asarray(x))[:, [4, 1, 2, 3, 0]]], 1)\n"
    )
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    plain = cnnshift.measure(f"py:{factories}:plain", DATA, max_shift=1)
    run = cnnshift.measure(f"py:{factories}:six:classes={tmp_path / 'names.txt'}", DATA, max_shift=1)
    assert run.metric("accuracy").per_image == plain.metric("accuracy").per_image
    # A path in a TOML file is relative to it.
    factories.with_suffix(".toml").write_text("classes = 'names.txt'")
    assert load(f"py:{factories}:six").class_names == names
    factories.with_suffix(".toml").write_text(f"classes = {list(names)}")
    assert load(f"py:{factories}:six").class_names == names


def test_find_columns():
    assert find_columns(("a", "b", "c"), ("c", "a")) == (2, 0)
    with pytest.raises(InputError, match=r"the class 'elk', .*\(1 of 2 are missing\).*Did you mean 'elks'\?"):
        find_columns(("elks", "bee"), ("bee", "elk"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ant\nbee\ncat\ndog\nowl\n", "class 'elk'"),
        ("ant\n\nbee", "entries that are not names"),
        ("", "entries that are not names"),
    ],
)
def test_invalid_class_names(tmp_path, factories, text, message):
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(InputError) as error:
        cnnshift.measure(f"py:{factories}:nnx:classes={tmp_path / 'names.txt'}", DATA, max_shift=1)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("factory", ["nnx", "normed", "plain"])
def test_number_of_class_names_and_logits_differ(tmp_path, factories, factory):
    # A list with an extra background class would shift every name.
    (tmp_path / "names.txt").write_text("\n".join(["yak", "cow", *DATA.classes]))
    with pytest.raises(InputError, match="returns 5 logits, but classes has 7 names"):
        cnnshift.measure(f"py:{factories}:{factory}:classes={tmp_path / 'names.txt'}", DATA, max_shift=1)


def test_class_names_are_in_the_recipe(tmp_path, factories):
    def recipe(names):
        (tmp_path / "names.txt").write_text("\n".join(names))
        return cnnshift.measure(
            f"py:{factories}:nnx:classes={tmp_path / 'names.txt'}", DATA, max_shift=1
        ).training.recipe

    reversed_names, swapped = recipe(DATA.classes[::-1]), recipe(["bee", "ant", *DATA.classes[2:]])
    assert reversed_names["classes"] != swapped["classes"]
    assert reversed_names == recipe(DATA.classes[::-1])
    assert "classes" not in recipe(DATA.classes)


def test_changed_options_as_text():
    options = parse_options(Preprocess, "py", {"mean": "0.48145466/0.5", "std": "2", "scale": "255", "size": "8"})
    assert options.changed() == {"mean": "0.48145466/0.5", "std": "2", "scale": "255", "size": "8x8"}


def test_option_of_factory_and_preprocessing(tmp_path):
    (tmp_path / "net.py").write_text(
        "import numpy as np\n\n\ndef make(size: int = 5):\n"
        "    return lambda images: np.asarray(images).reshape(len(images), -1)[:, :size]\n"
    )
    with pytest.raises(InputError, match=r"has a parameter 'size', which is also a preprocessing option"):
        load(f"py:{tmp_path / 'net.py'}:make:size=5")
    (tmp_path / "net.toml").write_text("size = 8\n")
    assert load(f"py:{tmp_path / 'net.py'}:make").preprocess.size == (8, 8)
