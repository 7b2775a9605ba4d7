"""The grammar of specs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnshift.errors import InputError
from cnnshift.spec import DatasetSpec, ModelSpec

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,8}", fullmatch=True)
values = st.text("abcXYZ0123456789_.-+", min_size=1, max_size=8)


@given(names, st.dictionaries(names, values, max_size=4))
def test_text_and_back(name, options):
    spec = ModelSpec(name, options)
    assert ModelSpec.parse(str(spec)) == spec


def test_spaces_around_parts_do_not_count():
    assert ModelSpec.parse(" cnn : pool = aps , head=gap ") == ModelSpec("cnn", {"pool": "aps", "head": "gap"})


@given(st.text(max_size=30))
def test_any_text_is_a_spec_or_a_clear_error(text):
    try:
        spec = ModelSpec.parse(text)
    except InputError as error:
        spec, message = None, str(error)
    assert spec.name if spec else "The model spec" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not start with a name"),
        (":a=1", "does not start with a name"),
        ("9cnn", "does not start with a name"),
        ("cnn:", "has the option ''; write key=value"),
        ("cnn:pool", "has the option 'pool'"),
        ("cnn:pool=", "has the option 'pool='"),
        ("cnn:=aps", "has the option '=aps'"),
        ("cnn:pool=a,pool=b", "gives the option 'pool' twice"),
    ],
)
def test_mistakes(text, words):
    with pytest.raises(InputError, match=words):
        ModelSpec.parse(text)


@pytest.mark.parametrize(
    ("text", "argument", "options"),
    [
        ("py:net.py:make", "net.py:make", {}),
        ("py:net.py:make:width=64,depth=2", "net.py:make", {"width": "64", "depth": "2"}),
        ("py:package.module:factory", "package.module:factory", {}),
        ("py:a=b/net.py:make", "a=b/net.py:make", {}),
        ("py", "", {}),
        ("tfds:mnist:3.0.1:split=test[:50%],size=8", "mnist:3.0.1", {"split": "test[:50%]", "size": "8"}),
        ("folder:/data/a:b", "/data/a:b", {}),
    ],
)
def test_names_with_an_argument(text, argument, options):
    spec = ModelSpec.parse(text)
    assert spec == ModelSpec(text.partition(":")[0], options, argument)
    assert str(spec) == text


def test_more_options():
    spec = DatasetSpec.parse("folder:photos:size=8")
    assert str(spec.extend(split="val", size="8", canvas=None)) == "folder:photos:size=8,split=val"
    with pytest.raises(InputError, match="size is 9, but the data set spec 'folder:photos:size=8' has size=8"):
        spec.extend(size=9)
