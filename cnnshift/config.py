"""The settings of a benchmark: THE defaults, where values may come from, and in which order.

Flag > `--suite` > `CNNSHIFT_*` variable > `--config FILE.toml` > `[tool.cnnshift]` in pyproject.toml > the standard
suite, where no models are named > default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen

from cnnshift.errors import InputError, validation_message
from cnnshift.pixel_length import PixelLength, serialize_length
from cnnshift.registry import unknown

DEFAULT_SUITE = "standard"

DEFAULT_GATES = ("accuracy", "shifted_accuracy", "worst_case_accuracy", "pairwise_consistency")
"""Metrics that `cnnshift compare` judges where nothing else is said, each with the margin of its own."""

DIAGNOSTIC_METRICS = ("phase_spectrum",)
"""Metrics that say why and not how good: a better network may have more of them. No pattern of a gate asks for them."""

EXPLAINED_IMAGES = 200
"""Test images that `cnnshift explain` looks at where nothing else is said."""

SUB_TABLES = ("gates",)
"""Of `[tool.cnnshift]`: settings of other commands than the benchmark."""


@dataclass(frozen=True, slots=True)
class Span:
    """How far shifts go, and how far apart they are, in pixels."""

    max_shift: Fraction
    step: Fraction

    @classmethod
    def of(cls, *, fractional: bool, max_shift: Fraction | None = None, step: Fraction | None = None) -> Span:
        """What was given, and the default for the rest.

        Args:
            fractional: whether the protocol moves by fractions of a pixel.
            max_shift: what was given; it wins.
            step: likewise.
        """
        default = FRACTIONS if fractional else WHOLE_PIXELS
        return cls(default.max_shift if max_shift is None else max_shift, default.step if step is None else step)


WHOLE_PIXELS = Span(Fraction(8), Fraction(1))
"""Default of the protocols that move by whole pixels."""

FRACTIONS = Span(Fraction(2), Fraction(1, 3))
"""Default of those that move by fractions: 168 shifts. Thirds, because a network that over-samples twofold and aliases
looks exact at halves."""


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """Everything that decides what `cnnshift bench` measures.

    Attributes:
        models: model specs, in the order of the table.
        dataset: data set spec.
        canvas: side of a background canvas to centre the images on, in pixels; None for none.
        data_dir: option of the data set: the folder of prepared data sets.
        raw_dir: option of the data set: the folder of the files that it is prepared from.
        split: option of the data set: its test images.
        protocols: how images move.
        shifts: shift set: grid, full, axis, diagonal or random:K.
        max_shift: R, largest |d|∞ in pixels; None for the default of each protocol, see `Span`.
        step: spacing of the shifts in pixels; None for the default of each protocol.
        metrics: ids of the metrics to compute; empty for all.
        seed: of the first training run.
        seeds: number of training runs per model, with seeds seed, seed + 1, …
        limit: number of test images, a seeded subset; None for all.
        batch_size: images per compiled step; None chooses by backend.
        epochs: training epochs; None keeps the recipe's own number, 0 leaves the networks untrained.
        engine: `direct` runs every forward pass, `shared` shares them between shifts, `auto` chooses.
        deterministic: ask the backend for bit-reproducible kernels, and measure nothing to choose a faster shape.
    """

    models: Annotated[tuple[str, ...], MinLen(1)] = ("cnn",)
    dataset: str = "mnist5k"
    canvas: Annotated[int, Ge(1)] | None = None
    data_dir: str | None = None
    raw_dir: str | None = None
    split: str | None = None
    protocols: Annotated[tuple[str, ...], MinLen(1)] = ("circular",)
    shifts: str = "grid"
    max_shift: PixelLength | None = None
    step: PixelLength | None = None
    metrics: tuple[str, ...] = ()
    seed: Annotated[int, Ge(0), Lt(2**31)] = 0
    seeds: Annotated[int, Ge(1), Lt(2**16)] = 1
    limit: Annotated[int, Ge(1)] | None = None
    batch_size: Annotated[int, Ge(1)] | None = None
    epochs: Annotated[int, Ge(0)] | None = None
    engine: Literal["auto", "direct", "shared"] = "auto"
    deterministic: bool = False


DEFAULTS = BenchSettings()

Origin = Literal["flag", "environment", "config file", "pyproject.toml", "suite", "default"]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings with the place that each value came from."""

    settings: BenchSettings
    origins: Mapping[str, str]


def resolve(
    flags: Mapping[str, Any],
    *,
    suite: str | None = None,
    config_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    project: Path | None = None,
) -> Resolved:
    """Merge all sources of settings and validate the whole.

    Args:
        flags: values given on the command line; None means not given.
        suite: name of a suite; by default `standard`, unless some source names models.
        config_file: a TOML file of settings.
        environ: environment variables.
        project: the pyproject.toml to look into; by default that of this folder or of the nearest one above it.

    Raises:
        InputError: an unreadable file, unknown keys or values that are not allowed: all of them at once.
    """
    project = project or find_project()
    sources: list[tuple[str, dict[str, Any]]] = [
        ("flag", {key: value for key, value in flags.items() if value is not None}),
        ("environment", _from_environment(environ)),
        (f"{config_file}", _read_toml(config_file) if config_file else {}),
        (f"{project}", _from_project(project)),
    ]
    if suite is not None:
        # Named on the command line, it says more than any file, and less than the other flags.
        sources.insert(1, (f"suite {suite}", load_suite(suite)))
    elif not any("models" in values for _, values in sources):
        sources.append((f"suite {DEFAULT_SUITE}", load_suite(DEFAULT_SUITE)))
    problems = [
        f"{origin}: {unknown('setting', key, _names())}"
        for origin, values in sources
        for key in values
        if key not in _names()
    ]
    if problems:
        raise InputError("\n".join(problems))
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(_names(), "default")
    for origin, values in reversed(sources):
        merged |= values
        origins |= dict.fromkeys(values, origin)
    settings = _validate(merged, origins)
    if settings.shifts == "full" and (given := [key for key in ("max_shift", "step") if origins[key] == "flag"]):
        flags_given = " and ".join(f"--{key.replace('_', '-')}" for key in given)
        raise InputError(f"The shift set 'full' takes every circular shift; leave out {flags_given}.")
    return Resolved(settings, origins)


def checked(**values: Any) -> BenchSettings:
    """Settings from a program's arguments; what is not given has its default.

    Raises:
        InputError: a value that is not allowed.
    """
    return _validate(values, dict.fromkeys(values, "argument"))


def load_suite(name: str) -> dict[str, Any]:
    """The settings of a suite that the package ships.

    Raises:
        InputError: no such suite.
    """
    import tomllib

    folder = resources.files("cnnshift") / "suites"
    if name not in (names := suite_names()):
        raise InputError(unknown("suite", name, names))
    values = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    values.pop("summary", None)
    return values


def suite_names() -> list[str]:
    """Names of the shipped suites."""
    folder = resources.files("cnnshift") / "suites"
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml"))


def suite_summary(name: str) -> str:
    """One line that says what a suite is for."""
    import tomllib

    text = (resources.files("cnnshift") / "suites" / f"{name}.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["summary"])


def as_dict(settings: BenchSettings) -> dict[str, Any]:
    """Settings as plain values for a file."""
    return {key: _plain(value) for key, value in asdict(settings).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return serialize_length(value)
    return list(value) if isinstance(value, tuple) else value


def _names() -> list[str]:
    return [field.name for field in fields(BenchSettings)]


_LISTS = ("models", "protocols", "metrics")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """`CNNSHIFT_MAX_SHIFT=4`; lists are separated by spaces. Variables of other parts of the tool are not settings."""
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        key = variable.removeprefix("CNNSHIFT_").lower()
        if not variable.startswith("CNNSHIFT_") or key == "cache_dir":
            continue
        values[key] = text.split() if key in _LISTS else text
    return values


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read the config file {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The config file {path} is not TOML: {error}.") from None


def find_project() -> Path:
    """The pyproject.toml of the working folder, or of the nearest folder above it; there may be none."""
    here = Path()
    return next(
        (path for folder in (here, *here.resolve().parents) if (path := folder / "pyproject.toml").is_file()),
        here / "pyproject.toml",
    )


def project_table(path: Path) -> dict[str, Any]:
    """`[tool.cnnshift]` of a pyproject.toml; empty where there is none.

    Raises:
        InputError: the file cannot be read or is not TOML, the table is none, or a table in it has an unknown name.
    """
    if not path.is_file():
        return {}
    tool = _read_toml(path).get("tool", {})
    table = tool.get("cnnshift", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise InputError(f"{path}: tool.cnnshift is {table!r}; a table is needed.")
    if wrong := [key for key, value in table.items() if isinstance(value, dict) and key not in SUB_TABLES]:
        raise InputError("\n".join(f"{path}: {unknown('table', f'tool.cnnshift.{key}', _TABLES)}" for key in wrong))
    return table


_TABLES = tuple(f"tool.cnnshift.{name}" for name in SUB_TABLES)


def _from_project(path: Path) -> dict[str, Any]:
    return {key: value for key, value in project_table(path).items() if key not in SUB_TABLES}


def _validate(values: Mapping[str, Any], origins: Mapping[str, str]) -> BenchSettings:
    import pydantic

    try:
        return pydantic.TypeAdapter(BenchSettings).validate_python(dict(values))
    except pydantic.ValidationError as error:
        problems = []
        for problem in error.errors():
            key = str(problem["loc"][0])
            where = "" if origins[key] == "argument" else f" (from {origins[key]})"
            flag = f"--{key.replace('_', '-')}" if origins[key] == "flag" else f"{key}{where}"
            problems.append(f"{flag} is '{problem['input']}'; {validation_message(problem)}.")
        raise InputError("\n".join(dict.fromkeys(problems))) from None
