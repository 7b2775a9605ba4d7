"""How images are prepared and what the classes are called: said by the spec, beside the network, or by the network."""

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
def own(tmp_path):
    return external_models.write_factories(tmp_path)


def prepared(**said):
    return np.asarray(parse_options(Preprocess, "py", said)(jnp.asarray(IMAGES)))


def test_preparation_against_numpy():
    np.testing.assert_array_equal(prepared(), IMAGES)
    np.testing.assert_allclose(prepared(scale="255", mean="127.5", std="2"), (IMAGES * 255 - 127.5) / 2, rtol=1e-5)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    found = prepared(mean="0.485/0.456/0.406", std="0.229/0.224/0.225")
    np.testing.assert_allclose(found, (IMAGES - mean) / std, rtol=1e-5, atol=1e-6)
    # The mean is of the colours as they are in the image.
    found = prepared(mean="0.485/0.456/0.406", channel_order="bgr", layout="nchw")
    np.testing.assert_allclose(found, (IMAGES - mean)[..., ::-1].transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("said", "size"),
    [("8", (8, 8)), ("8x6", (8, 6)), (8, (8, 8)), ([8, 6], (8, 6)), ([8], (8, 8)), ((8, 6), (8, 6)), (None, None)],
)
def test_forms_of_a_size(said, size):
    found = parse_options(Preprocess, "py", {"size": said})
    assert found.size == size
    assert parse_options(Preprocess, "py", found.changed()) == found


@pytest.mark.parametrize(
    "said",
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
def test_what_is_no_preparation_is_one_sentence(said):
    with pytest.raises(InputError) as problem:
        parse_options(Preprocess, "py", said)
    assert next(iter(said)) in str(problem.value)
    assert "\n" not in str(problem.value)


def test_values_per_channel_have_to_be_as_many_as_channels(own):
    with pytest.raises(InputError, match="mean has 2 values, but the images have 3 channels"):
        cnnshift.measure(f"py:{own}:nnx:mean=0.5/0.5", DATA, max_shift=1)


def test_the_spec_goes_before_the_file_beside_it_and_that_before_the_network(tmp_path, own):
    own.with_suffix(".toml").write_text('size = 8\nmean = [0.1, 0.2, 0.3]\nstd = 0.5\nchannel_order = "bgr"\n')
    found = load(f"py:{own}:nnx:channel_order=rgb,std=2").preprocess
    assert found == Preprocess(size=(8, 8), mean=(0.1, 0.2, 0.3), std=(2.0,), channel_order="rgb")
    run = cnnshift.measure(f"py:{own}:nnx:channel_order=rgb,std=2", DATA, max_shift=1)
    assert run.training.recipe.keys() == {"preprocess", "code"}
    assert run.training.recipe["preprocess"] == {"size": "8x8", "mean": "0.1/0.2/0.3", "std": "2"}
    images = (np.float32(DATA.images / 255) - np.float32([0.1, 0.2, 0.3])) / 2
    assert run.metric("accuracy").value == np.mean(external_models.logits(images).argmax(axis=1) == DATA.labels)
    assert (run.options, run.params) == ({"channel_order": "rgb", "std": "2"}, 132)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sizes = 8", "has the key 'sizes'; allowed: size, scale, mean, std, channel_order, layout, classes."),
        ("[tool]\nsize = 8", "has the key 'tool'"),
        ("size = ", "own.toml cannot be read"),
        ("size = 'a'", "size"),
        ("mean = [0.5, 'a']", "mean"),
        ("classes = 3", "classes has entries that are not names"),
        ("classes = ['a', 'a']", "classes has the name 'a' twice"),
        ("classes = 'names.txt'", "names.txt', which cannot be read"),
        ("size = 1\nsize = 2", "own.toml cannot be read"),
    ],
)
def test_a_bad_file_beside_a_network_is_one_sentence(own, text, said):
    own.with_suffix(".toml").write_text(text)
    with pytest.raises(InputError) as problem:
        load(f"py:{own}:nnx")
    assert said in str(problem.value), problem.value
    assert "\n" not in str(problem.value)


def test_bytes_beside_a_network_that_are_no_text(own):
    own.with_suffix(".toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"own\.toml cannot be read"):
        load(f"py:{own}:nnx")


def test_names_of_classes_pick_the_logits(tmp_path, own):
    names = ("yak", "elk", "bee", "cat", "dog", "ant")
    own.write_text(
        own.read_text() + "\ndef six():\n    return lambda x: np.concatenate([np.full((len(x), 1), 99, np.float32), "
        "external_models.logits(np.asarray(x))[:, [4, 1, 2, 3, 0]]], 1)\n"
    )
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    plain = cnnshift.measure(f"py:{own}:plain", DATA, max_shift=1)
    run = cnnshift.measure(f"py:{own}:six:classes={tmp_path / 'names.txt'}", DATA, max_shift=1)
    assert run.metric("accuracy").per_image == plain.metric("accuracy").per_image
    # Beside the network, a path is from there.
    own.with_suffix(".toml").write_text("classes = 'names.txt'")
    assert load(f"py:{own}:six").class_names == names
    own.with_suffix(".toml").write_text(f"classes = {list(names)}")
    assert load(f"py:{own}:six").class_names == names


def test_columns():
    assert find_columns(("a", "b", "c"), ("c", "a")) == (2, 0)
    with pytest.raises(InputError, match=r"the class 'elk', .*\(1 of 2 are missing\).*Did you mean 'elks'\?"):
        find_columns(("elks", "bee"), ("bee", "elk"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ant\nbee\ncat\ndog\nowl\n", "class 'elk'"),
        ("ant\n\nbee", "entries that are not names"),
        ("", "entries that are not names"),
    ],
)
def test_wrong_names_of_classes(tmp_path, own, text, said):
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(InputError) as problem:
        cnnshift.measure(f"py:{own}:nnx:classes={tmp_path / 'names.txt'}", DATA, max_shift=1)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("factory", ["nnx", "normed", "plain"])
def test_as_many_names_as_logits(tmp_path, own, factory):
    # A list with or without a background class would shift every name.
    (tmp_path / "names.txt").write_text("\n".join(["yak", "cow", *DATA.classes]))
    with pytest.raises(InputError, match="returns 5 logits, but classes has 7 names"):
        cnnshift.measure(f"py:{own}:{factory}:classes={tmp_path / 'names.txt'}", DATA, max_shift=1)


def test_names_of_classes_are_on_record(tmp_path, own):
    def recipe(names):
        (tmp_path / "names.txt").write_text("\n".join(names))
        return cnnshift.measure(f"py:{own}:nnx:classes={tmp_path / 'names.txt'}", DATA, max_shift=1).training.recipe

    turned, swapped = recipe(DATA.classes[::-1]), recipe(["bee", "ant", *DATA.classes[2:]])
    assert turned["classes"] != swapped["classes"]
    assert turned == recipe(DATA.classes[::-1])
    assert "classes" not in recipe(DATA.classes)


def test_numbers_are_written_as_they_are():
    said = parse_options(Preprocess, "py", {"mean": "0.48145466/0.5", "std": "2", "scale": "255", "size": "8"})
    assert said.changed() == {"mean": "0.48145466/0.5", "std": "2", "scale": "255", "size": "8x8"}


def test_an_option_that_means_two_things(tmp_path):
    (tmp_path / "net.py").write_text(
        "import numpy as np\n\n\ndef make(size: int = 5):\n"
        "    return lambda images: np.asarray(images).reshape(len(images), -1)[:, :size]\n"
    )
    with pytest.raises(InputError, match=r"has a parameter 'size', which is also a preprocessing option"):
        load(f"py:{tmp_path / 'net.py'}:make:size=5")
    (tmp_path / "net.toml").write_text("size = 8\n")
    assert load(f"py:{tmp_path / 'net.py'}:make").preprocess.size == (8, 8)
