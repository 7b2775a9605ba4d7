"""A hook of mkdocs: write the reference pages from the code, so that they cannot disagree with it.

Commands come from the Typer application, names from the registries, the result file from its JSON Schema. The
changelog, the contributing guide and the benchmarks are pages of the repository that become pages of the site.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from command_pages import commands_page
from markdown_text import Docstring, cell, code, module_or_class, prose, table
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import cnnshift
from cnnshift import catalog
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


# Pages of the repository


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
