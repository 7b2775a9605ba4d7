"""A hook of mkdocs: write the reference pages from the code, so that they cannot disagree with it.

Commands come from the Typer application, names from the registries, the result file from its JSON Schema. The
changelog, the contributing guide and the benchmarks are pages of the repository that become pages of the site.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.models import ArgumentInfo, ParameterInfo

import cnnshift
from cnnshift import catalog
from cnnshift.cli.app import COMMANDS, load_command
from cnnshift.cli.command import guarded
from cnnshift.config import suite_names, suite_summary
from cnnshift.metrics.base import Metric
from cnnshift.models.base import describe_options
from cnnshift.registry import Entry, Registry
from cnnshift.results.schema import schema_text

ROOT = Path(__file__).resolve().parents[1]
BLOB = "https://github.com/cnnshift/cnnshift/blob/main/"
METRICS_PAGE = "reference/metrics/index.md"
UNITS = {"fraction": "fraction, shown in %", "px": "pixels", "": "ratio without a unit"}
NOTATION = (
    "ŷ(x): predicted class · y: label · P: softmax of the logits · T_d x: the image shifted by d · D: the shift set "
    "without (0, 0), K = |D|. All terms: [glossary](../../glossary.md)."
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put one page per metric into the navigation."""
    pages = [METRICS_PAGE, *(metric_path(name) for name in catalog.METRICS)]

    def expand(item: Any) -> Any:
        if isinstance(item, list):
            return [expand(part) for part in item]
        if isinstance(item, dict):
            return {title: pages if part == METRICS_PAGE else expand(part) for title, part in item.items()}
        return item

    config.nav = expand(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/models.md": models_page(),
        "reference/protocols.md": protocols_page(),
        "reference/datasets.md": datasets_page(),
        "reference/result-file.md": result_page(),
        "reference/result.schema.json": schema_text(),
        "reference/python-api.md": api_page(),
        METRICS_PAGE: metrics_page(),
        **{metric_path(name): metric_page(name, entry) for name, entry in catalog.METRICS.items()},
        "changelog.md": repository_page("CHANGELOG.md"),
        "contributing.md": repository_page("CONTRIBUTING.md"),
        "benchmarks.md": repository_page("benchmarks/README.md"),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse pages that load anything from another server."""
    for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?https?://[^>]*>", output):
        if 'rel="canonical"' not in tag:
            raise PluginError(f"{page.file.src_uri} loads a file from another server: {tag}")
    return output


# Commands


def commands_page() -> str:
    parts = [
        "# Commands\n\nThis page is generated from the program; `cnnshift COMMAND --help` prints the same text. An "
        "option marked as “repeatable” can be used several times.\n"
    ]
    parts += [command_section(name, guarded(load_command(name))) for name in COMMANDS]
    return "\n".join(parts)


def command_section(name: str, function: Callable[..., Any]) -> str:
    summary, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    panels: dict[str, list[tuple[str, str, str]]] = {}
    arguments = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind, info = split_annotation(parameter.annotation)
        row = option_row(parameter, kind, info)
        if isinstance(info, ArgumentInfo):
            value = info.metavar or parameter.name.upper()
            value = value if parameter.default is inspect.Parameter.empty else f"[{value}]"
            arguments.append(value + "…" * (list in map(typing.get_origin, (kind, *typing.get_args(kind)))))
            panels.setdefault("Arguments", []).append(row)
        else:
            panels.setdefault(info.rich_help_panel or "Options", []).append(row)
    usage = " ".join(["cnnshift", name, *arguments, "[OPTIONS]"])
    parts = [f"## {name}\n", prose(summary) + "\n", f"```text\n{usage}\n```\n"]
    if rest:
        text, _, example = rest.rpartition("Example: ")
        parts += [prose(text) + "\n"] if text else []
        parts.append(f"```console\n$ {example}\n```\n")
    for panel, rows in panels.items():
        head = "argument" if panel == "Arguments" else "option"
        parts += [f"**{panel}**\n", table((head, "default", "meaning"), rows)]
    return "\n".join(parts)


def split_annotation(annotation: Any) -> tuple[Any, ParameterInfo]:
    """Split `Annotated[kind, Option(…)]` into its two parts."""
    kind, *metadata = typing.get_args(annotation)
    return kind, next(info for info in metadata if isinstance(info, ParameterInfo))


def option_row(parameter: inspect.Parameter, kind: Any, info: ParameterInfo) -> tuple[str, str, str]:
    """Return the name, the default and the meaning of a parameter, as cells."""
    kinds = [part for part in (typing.get_args(kind) or (kind,)) if part is not type(None)]
    value = info.metavar or next(
        ("|".join(item.value for item in part) for part in kinds if isinstance(part, enum.EnumType)), ""
    )
    names = list(getattr(info, "param_decls", None) or ())
    if isinstance(info, ArgumentInfo):
        shown = code(value or parameter.name.upper())
    else:
        flag = f"--{parameter.name.replace('_', '-')}"
        names = names or ([flag] if bool not in kinds else [flag, f"--no-{flag[2:]}"])
        value = "" if bool in kinds else value or placeholder(kinds)
        shown = ", ".join(code(f"{option} {value}".strip()) for option in names)
    default = parameter.default
    if isinstance(default, enum.Enum):
        default = default.value
    text, found = re.subn(r"\s*\(default: (.*)\)$", "", info.help or "")
    if found:
        default = re.search(r"\(default: (.*)\)$", info.help or "")[1]  # type: ignore[index]
    bounds = [f"{sign} {limit}" for sign, limit in (("≥", info.min), ("≤", info.max)) if limit is not None]
    if bounds:
        text += f" Allowed: {', '.join(bounds)}."
    empty = default in (None, False, True, inspect.Parameter.empty)
    required = default is inspect.Parameter.empty
    written = cell(str(default)) if " " in str(default) else code(str(default))
    return shown, "required" if required else "" if empty else written, cell(text)


def placeholder(kinds: Iterable[Any]) -> str:
    names = {Path: "FILE", int: "N", float: "X"}
    return next((names[kind] for kind in kinds if kind in names), "TEXT")


# Metrics


def metric_path(name: str) -> str:
    return f"reference/metrics/{name}.md"


def metrics_page() -> str:
    rows = []
    for name, entry in catalog.METRICS.items():
        spec = catalog.METRICS.load(name).spec
        direction = "higher" if spec.higher_is_better else "lower"
        rows.append((f"[`{name}`]({name}.md)", cell(entry.summary), UNITS[spec.unit].split(",")[0], direction))
    return "\n".join([
        "# Metrics\n",
        "Each metric is a function of a model's predictions over images and shifts. A metric that is a mean over "
        "images has a 95 % interval over images; the shifts of one image are one cluster.\n",
        table(("metric", "meaning", "unit", "better"), rows),
    ])  # fmt: skip


def metric_page(name: str, entry: Entry) -> str:
    metric: Metric = catalog.METRICS.load(name)
    spec = metric.spec
    # One line for each symbol that the formula defines.
    formula = re.sub(r", (?=\w+(?:\([^)]*\))? = )", ",\n", spec.formula)
    # The first paragraph repeats the summary.
    _, _, details = Docstring(metric.evaluate).body.partition("\n\n")
    margin = f"{100 * spec.default_margin:g} pp" if spec.unit == "fraction" else f"{spec.default_margin:g} {spec.unit}"
    bounds = "unbounded, or dependent on the shifts" if spec.bounds is None else "{:g} to {:g}".format(*spec.bounds)
    facts = [
        ("id", code(name)),
        ("unit", UNITS[spec.unit]),
        ("better", "higher" if spec.higher_is_better else "lower"),
        ("range of one image", bounds),
        ("default margin of `compare`", margin),
        ("version", str(spec.version)),
        ("source", cell(spec.reference or entry.reference or "cnnshift")),
    ]
    return "\n".join([
        f"# {spec.title[:1].upper()}{spec.title[1:]}\n",
        f"{prose(entry.summary[:1].upper() + entry.summary[1:])}.\n",
        f"```text\n{formula}\n```\n",
        prose(details) + "\n",
        table(("", ""), facts),
        f"{NOTATION}\n",
        f"```console\n$ cnnshift bench cnn --metric {name}\n```\n",
    ])  # fmt: skip


# Models, protocols, data sets


def models_page() -> str:
    parts = [
        "# Models and layers\n",
        "A model spec is `family:key=value,key=value` for a family that cnnshift trains, or `loader:ARGUMENT` for a "
        "pretrained model; see [specs](specs.md).\n",
        "## Families\n",
        *registry_sections(catalog.MODELS, lambda family: family.options_type),
        "## Pooling layers\n",
        "The value of `pool=` in the convolutional families. A spec sets the options of the layer and of the family: "
        "`cnn:pool=blur,blur=5`.\n",
        *registry_sections(catalog.DOWNSAMPLERS, lambda layer: layer.options_type),
        "## Loaders\n",
        *registry_sections(catalog.LOADERS, None),
        "## Augmentations\n",
        "The value of `augment=`: the augmentation of the training images, or several joined by `+`.\n",
        *registry_sections(catalog.AUGMENTATIONS, None),
        "## Suites\n",
        table(("suite", "content"), [(code(name), cell(suite_summary(name))) for name in suite_names()]),
    ]
    return "\n".join(parts)


def protocols_page() -> str:
    parts = ["# Protocols\n", "A protocol defines how an image moves and what enters at its border: `--protocol`.\n"]
    for name, entry, protocol in loaded(catalog.PROTOCOLS):
        facts = [
            ("boundary", "wraps around" if protocol.wraps else "does not wrap around"),
            ("shifts", "fractions of a pixel" if protocol.fractional else "whole pixels"),
        ]
        parts += [heading(name, entry), prose(module_or_class(protocol).body) + "\n", table(("", ""), facts)]
    return "\n".join(parts)


def datasets_page() -> str:
    parts = ["# Data sets\n", "The value of `--dataset`; see [your own data](../how-to/own-data.md).\n"]
    for name, entry, dataset in loaded(catalog.DATASETS):
        facts = [
            ("version", dataset.version),
            ("licence", dataset.licence),
            ("source", dataset.citation),
            ("splits", ", ".join(splits) if isinstance(splits := getattr(dataset, "splits", ()), tuple) else ""),
        ]
        doc = Docstring(dataset)
        parts += [
            heading(name, entry),
            prose(doc.body) + "\n",
            table(("", ""), [(label, cell(text)) for label, text in facts if text]),
            options_table(dataset.options_type, doc.items("Options")),
        ]
    return "\n".join(parts)


def registry_sections(registry: Registry, options: Callable[[Any], Any] | None) -> Iterator[str]:
    for name, entry, item in loaded(registry):
        yield heading(name, entry)
        doc = Docstring(item) if inspect.isclass(item) or inspect.isfunction(item) else None
        if doc and doc.body:
            yield prose(doc.body) + "\n"
        if options:
            yield options_table(options(item))


def loaded(registry: Registry) -> Iterator[tuple[str, Entry, Any]]:
    return ((name, entry, registry.load(name)) for name, entry in registry.items())


def heading(name: str, entry: Entry) -> str:
    argument = f":{entry.argument}" if entry.argument else ""
    source = f" *{entry.reference}*" if entry.reference else ""
    summary = entry.summary[:1].upper() + entry.summary[1:]
    return f"### `{name}{argument}`\n\n{prose(summary)}.{source}\n"


def options_table(options_type: Any, meanings: Mapping[str, str] | None = None) -> str:
    fields = options_type.model_fields
    documented = [Docstring(base).items("Attributes") for base in reversed(options_type.__mro__[:-1])]
    meanings = {name: text for items in (*documented, meanings or {}) for name, text in items.items()}
    lines = [line for line in describe_options(options_type.model_validate({})) if line.key in fields]
    rows = [
        (code(line.key), code(line.default) if line.default not in ("None", "") else "", cell(line.allowed))
        for line in lines
    ]
    if not any(line.key in meanings for line in lines):
        return table(("option", "default", "allowed"), rows) if rows else ""
    full = [(*row, cell(meanings.get(line.key, ""))) for row, line in zip(rows, lines, strict=True)]
    return table(("option", "default", "allowed", "meaning"), full)


# The result file and the Python interface


def result_page() -> str:
    schema = json.loads(schema_text())
    sections = {"Result": schema, **schema["$defs"]}
    version = schema["properties"]["schema_version"]
    parts = [
        "# Result file\n",
        "`bench -o FILE.json` writes one JSON document. This page is generated from its JSON Schema: "
        "[result.schema.json](result.schema.json), also printed by `cnnshift info --schema`. Older versions are "
        "migrated when they are read.\n",
        f"The schema's version is {version.get('const', version.get('default', ''))}.\n",
    ]
    for name, section in sections.items():
        if "properties" not in section:
            parts += [f"## {name}\n", prose(section.get("description", "")) + "\n", type_text(section) + "\n"]
            continue
        required = section.get("required", ())
        rows = [
            (code(key), type_text(value), "yes" if key in required else "", cell(value.get("description", "")))
            for key, value in section["properties"].items()
        ]
        described = any(row[3] for row in rows)
        headers = ("key", "type", "required", "meaning")
        parts += [
            f"## {name}\n",
            prose(section.get("description", "")) + "\n",
            table(headers if described else headers[:3], rows if described else [row[:3] for row in rows]),
        ]
    return "\n".join(parts)


def type_text(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(type_text(part) for part in parts))
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(value)) for value in schema["enum"])
    if schema.get("type") == "array":
        if items := schema.get("prefixItems"):
            return f"[{', '.join(type_text(item) for item in items)}]"
        return f"list of {type_text(schema.get('items', {}))}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"object of {type_text(values)}" if isinstance(values, dict) and values else "object"
    return str(schema.get("type", "any"))


def api_page() -> str:
    names = [name for name in cnnshift.__all__ if name not in ("__version__", "errors")]
    functions = [name for name in names if inspect.isroutine(getattr(cnnshift, name))]
    classes = [name for name in names if name not in functions]
    parts = [
        "# Python API\n",
        "The public names of `import cnnshift`. They are imported on first use. All other modules are internal, except "
        "the base classes of extensions below.\n",
        *(f"::: cnnshift.{name}\n" for name in (*functions, *classes)),
        "## Errors\n",
        *(f"::: cnnshift.errors.{name}\n" for name in classes_of(cnnshift.errors)),
        "## Extensions\n",
        "Other packages add metrics, protocols, models, pooling layers, data sets and loaders through entry points.\n",
        table(("entry-point group", "kind"), [(code(r.group), r.kind) for r in registries()]),
        "::: cnnshift.metrics.base.MetricSpec\n",
        "::: cnnshift.metrics.base.Metric\n",
        "::: cnnshift.shifts.base.ShiftProtocol\n",
        "::: cnnshift.models.base.Classifier\n",
        "::: cnnshift.models.layers.downsampler.Downsampler\n",
    ]
    return "\n".join(parts)


def classes_of(module: Any) -> list[str]:
    return [name for name, item in inspect.getmembers(module, inspect.isclass) if item.__module__ == module.__name__]


def registries() -> Iterator[Registry]:
    return (value for value in vars(catalog).values() if isinstance(value, Registry))


# Text


class Docstring:
    """The text of a Google-style docstring, without its sections, and the items of a section."""

    SECTION = re.compile(r"^(Args|Attributes|Class attributes|Options|Returns|Raises|Source|Example|Examples):", re.M)

    def __init__(self, item: Any) -> None:
        # The object's own docstring: not that of a base class.
        self.text = inspect.cleandoc(vars(item).get("__doc__") or "" if inspect.isclass(item) else item.__doc__ or "")
        self.body = self.SECTION.split(self.text, maxsplit=1)[0].strip()

    def items(self, section: str) -> dict[str, str]:
        """Return name → text of the section's entries."""
        _, _, rest = self.text.partition(f"{section}:\n")
        block = re.split(r"^\S", rest, maxsplit=1, flags=re.M)[0]
        entries = re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", block, re.M)
        return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


def module_or_class(item: Any) -> Docstring:
    """Return the docstring of a class, or of its module where the class only refers to it."""
    doc = Docstring(item)
    return Docstring(inspect.getmodule(item)) if not doc.body or doc.body.startswith("See the module") else doc


def repository_page(path: str) -> str:
    """Return a page of the repository with links that work on the site."""
    folder = (ROOT / path).parent

    def replace(match: re.Match[str]) -> str:
        target, hash_, anchor = match[2].partition("#")
        full = (folder / target).resolve()
        if not target or not full.exists():
            return match[0]
        relative = full.relative_to(ROOT).as_posix()
        moved = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
        moved["benchmarks/README.md"] = "benchmarks.md"
        inside = (
            relative.removeprefix("docs/") if relative.startswith("docs/") else moved.get(relative, BLOB + relative)
        )
        return f"[{match[1]}]({inside}{hash_}{anchor})"

    return re.sub(r"\[([^\]]*)\]\(([^):\s]+)\)", replace, (ROOT / path).read_text(encoding="utf-8"))


def code(text: str) -> str:
    return f"`{text}`"


def prose(text: str) -> str:
    """Escape the characters that Markdown takes for markup; text in backticks stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[\]|])", r"\\\1", part) for part in parts)


def cell(text: str) -> str:
    return prose(" ".join(text.split()))


def table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [headers, ["---" for _ in headers], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
