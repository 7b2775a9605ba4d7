"""Exported programs from a stranger: nothing that a file says is executed, imported, opened or written."""

import json
import os
import pickle
import sys
import zipfile

import pytest

from cnnshift.errors import InputError
from cnnshift.loaders.exported import load_exported
from cnnshift.loaders.operators import SIZE_OPERATORS, TENSOR_OPERATORS
from tests import external_models
from tests.external_models import rewrite, write_exported

torch = pytest.importorskip("torch")

# Made inside torch when it exports.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return write_exported(folder / "net.pt2", external_models.factories(folder).torch(), dynamic={0: {}})


@pytest.fixture
def path(original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "net.pt2"
    copy.write_bytes(original.read_bytes())
    # Whatever imports a module finds this one, and leaves a trace.
    (tmp_path / "trap.py").write_text("open('executed', 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield copy
    assert not (tmp_path / "executed").exists()
    assert "trap" not in sys.modules


class Malicious:
    """A pickle that would leave a trace."""

    def __reduce__(self):
        return os.system, ("touch executed",)


PICKLE = pickle.dumps(Malicious())


def refused(path, said=""):
    with pytest.raises(InputError) as problem:
        load_exported(path)
    assert said in str(problem.value), problem.value
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 600


def same(path):
    """The file is read, and what was planted in it was looked at by nobody."""
    images = torch.rand(3, 3, 8, 8)
    found = load_exported(path).function(images)
    torch.testing.assert_close(found, torch.from_numpy(external_models.logits(images.permute(0, 2, 3, 1).numpy())))


def nodes(document):
    return document["graph_module"]["graph"]["nodes"]


def first_target(text):
    def change(document):
        nodes(document)[0]["target"] = text

    return change


def test_the_helper_changes_nothing_by_itself(path):
    same(rewrite(path))


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load",
        "torch.load",
        "torch.ops.load_library",
        "torch.os.system",
        "os.system",
        "builtins.eval",
        "math.__loader__.load_module",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "_operator.call",
        "_operator.pow",
        "torch.ops.aten.save.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.from_file.out",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.aten.resize_.default",
        "torch.ops.aten._print.default",
        "torch.ops.aten.conv2d.__class__",
        "torch.ops.aten.conv2d.op",
        "torch.ops.aten.conv2d.default\n",
        "torch.ops.aten.conv2d.default\nimport os",
        "torch.ops.aten.conv2d.ｄefault",
        "torch.ops.aten.__class__.__init__",
        "torch.ops.prims.add.default",
        "torch.ops.higher_order.cond",
        "torch.ops.mkldnn._convolution_pointwise.default",
        "#triton:kernel",
        "",
    ],
)
def test_only_arithmetic_is_called(path, target):
    refused(rewrite(path, {"model.json": first_target(target)}), "not among the operators that may run")


def test_what_is_listed_exists_and_takes_no_names_of_files():
    for name in TENSOR_OPERATORS:
        for form in (name, f"{name}_"):
            packet = getattr(torch.ops.aten, form, None)
            for overload in packet.overloads() if packet is not None else ():
                texts = [each.name for each in getattr(packet, overload)._schema.arguments if "str" in str(each.type)]
                assert not {"filename", "file", "path", "name"} & set(texts), (form, overload)
    assert not {"save", "from_file", "set", "resize", "warn", "_print"} & TENSOR_OPERATORS
    assert {"_operator.add", "torch.sym_max"} <= SIZE_OPERATORS.keys()
    with pytest.raises(TypeError):
        SIZE_OPERATORS["_operator.mul"]("a", 10**9)


CODE = (
    "__import__('os').system('touch executed')",
    "[open('executed', 'w') for _ in [1]]",
    "Symbol('s0').__class__",
    "Symbol('s0', positive=True)\n__import__('os').system('touch executed')",
    "s0\n",
    "s٠",
    "((((((((((" * 5000,
    "9**9**9**9",
    "s0 " * 30_000 + "!",
)


@pytest.mark.parametrize("text", CODE)
def test_sizes_are_not_evaluated(path, text):
    def change(document):
        graph = document["graph_module"]["graph"]
        for meta in graph["tensor_values"].values():
            meta["sizes"] = [{"as_expr": {"expr_str": text}} if "as_expr" in s else s for s in meta["sizes"]]
            meta["strides"] = [{"as_expr": {"expr_str": text}} for _ in meta["strides"]]
        for value in graph["sym_int_values"].values():
            value["as_expr"] = {"expr_str": text, "hint": None}
        document["range_constraints"] = {text: {"min_val": 0, "max_val": None}}

    same(rewrite(path, {"model.json": change}))


def enum(document):
    context = json.dumps({"__enum__": True, "fqn": "trap:Class", "name": "x"})
    spec = json.dumps([1, {"type": "builtins.dict", "context": context, "children_spec": []}])
    for entry in document["graph_module"]["module_call_graph"]:
        if entry["signature"]:
            entry["signature"] |= {"in_spec": spec, "out_spec": spec}


def metadata(document):
    for node in nodes(document):
        node["metadata"] = {
            "source_fn_stack": "x,torch.os.system",
            "nn_module_stack": "a,b,trap.Class",
            "from_node": json.dumps([{"name": "x", "target": "trap:Class", "graph_id": 1, "pass_name": ""}]),
            "stack_trace": "__import__('trap')",
        }


def guards(document):
    document["guards_code"] = ["__import__('os').system('touch executed')"]


def renamed(document):
    text = json.dumps(document)
    code = "x=__import__('os').system('touch executed')):\\n  pass #"
    return json.loads(text.replace('"conv2d"', f'"{code}"'))


@pytest.mark.parametrize("change", [enum, metadata, guards, renamed])
def test_what_is_said_beside_the_arithmetic_is_not_read(path, change):
    same(rewrite(path, {"model.json": change}))


def test_pickles_are_not_read(path):
    same(rewrite(path, {"sample_inputs/model.pt": lambda _: PICKLE}))
    # Where older files have their weights, and where they keep objects.
    same(rewrite(path, extra=[("data/weights/model.pt", PICKLE), ("data/constants/model.pt", PICKLE)]))
    same(rewrite(path, extra=[("data/constants/opaque_obj_0", PICKLE), ("data/constants/custom_obj_0", PICKLE)]))


@pytest.mark.parametrize("kind", ["weights", "constants"])
@pytest.mark.parametrize("name", ["weight_0", "tensor_0", "opaque_obj_0", "custom_obj_0"])
def test_weights_that_are_pickles_are_refused(path, kind, name):
    def change(document):
        document["config"]["x"] = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}

    changed = rewrite(path, {f"model_{kind}_config.json": change}, extra=[(f"data/{kind}/planted", PICKLE)])
    refused(changed, "as a pickle, which is not read")


@pytest.mark.parametrize(
    "place", ["../../own.py", "/etc/passwd", "../constants/model_constants_config.json/..", "weight_99", ""]
)
def test_weights_are_read_from_the_archive_only(path, place):
    def change(document):
        next(iter(document["config"].values()))["path_name"] = place

    refused(rewrite(path, {"model_weights_config.json": change}), "cannot be read as an exported program")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sizes", [{"as_int": 10**6}, {"as_int": 3}, {"as_int": 3}, {"as_int": 3}]),
        ("strides", [{"as_int": 10**9}, {"as_int": 9}, {"as_int": 3}, {"as_int": 1}]),
        ("strides", [{"as_int": -1}, {"as_int": 9}, {"as_int": 3}, {"as_int": 1}]),
        ("storage_offset", {"as_int": 10**12}),
        ("storage_offset", {"as_int": -4}),
        ("dtype", 99),
        ("sizes", "four"),
    ],
)
def test_weights_stay_inside_their_storage(path, key, value):
    def change(document):
        document["config"]["0.weight"]["tensor_meta"][key] = value

    refused(rewrite(path, {"model_weights_config.json": change}), "cannot be read as an exported program")


def test_a_part_that_stands_twice_is_refused(path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        rewrite(path, extra=[("models/model.json", b"{}")])
    refused(path, "holds a part twice")


@pytest.mark.parametrize("name", ["models/other.json", "/other/models/model.json"])
def test_two_programs_are_refused(path, name):
    refused(rewrite(path, extra=[(name, b"{}")]), "holds 2 programs")


@pytest.mark.parametrize(
    "name", ["MODELS/model.json", "models/model.JSON", "models//model.json", "models/./x.json", "/models/model.json"]
)
def test_variants_of_names_are_not_looked_at(path, name):
    same(rewrite(path, extra=[(name, b"__import__('trap')")]))


@pytest.mark.parametrize(
    "name", ["trap.so", "data/aotinductor/model/x.so", "data/aotinductor/model/x.cpp", "extra/x.py"]
)
def test_code_in_a_file_is_not_looked_at(path, name):
    same(rewrite(path, extra=[(name, b"__import__('trap')")]))


def test_the_layout_of_older_files_is_not_read(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.20")
        for name in ("serialized_state_dict.pt", "serialized_constants.pt", "serialized_example_inputs.pt"):
            archive.writestr(name, PICKLE)
        archive.writestr("serialized_exported_program.json", "{}")
    refused(path, "holds 0 programs")


def test_what_is_compressed_is_refused(path):
    refused(
        rewrite(path, {"sample_inputs/model.pt": lambda _: b"0" * 10**7}, compression=zipfile.ZIP_DEFLATED),
        "compressed",
    )


@pytest.mark.parametrize("keep", [0, 4, 100, 3000, -1])
def test_a_truncated_file(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, "cannot be read as an exported program")


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("graph_module"),
        lambda document: document["graph_module"].update(graph=None),
        lambda document: nodes(document)[0].update(inputs=3),
        lambda document: nodes(document)[0]["inputs"][0].update(arg={"as_graph": {}}),
        lambda document: nodes(document)[0]["inputs"][0].update(arg={"as_operator": "torch.load"}),
        lambda document: nodes(document)[0]["inputs"][0].update(arg={}),
        lambda document: document["graph_module"]["graph"].update(outputs=[]),
        lambda document: document["schema_version"].update(major=5),
    ],
)
def test_a_damaged_description(path, change):
    refused(rewrite(path, {"model.json": lambda document: (change(document), document)[1]}))


def test_a_description_that_is_no_json(path):
    content = path.read_bytes()
    for text in (b"{" * 2000, b"[" * 200_000, b"\xff\xfe", b"null", b"[]"):
        path.write_bytes(content)
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, text if name.endswith("models/model.json") else part)
        refused(path, "cannot be read as an exported program")


def test_values_that_are_missing_are_one_sentence_when_it_runs(path):
    def change(document):
        nodes(document)[0]["inputs"][0]["arg"] = {"as_tensor": {"name": "nowhere"}}

    with pytest.raises(KeyError):
        load_exported(rewrite(path, {"model.json": change})).function(torch.zeros(1, 3, 8, 8))
