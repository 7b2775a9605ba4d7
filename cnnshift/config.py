"""The settings of a measurement: their defaults, their sources, and the precedence of the sources.

Flag > `--suite` > `CNNSHIFT_*` variable > `--config FILE.toml` > `[tool.cnnshift]` in pyproject.toml > the standard
suite, if no source names models > default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen

from cnnshift.catalog import METRICS, PROTOCOLS
from cnnshift.errors import InputError, validation_message
from cnnshift.pixel_length import PixelLength, serialize_length
from cnnshift.registry import unknown

DEFAULT_SUITE = "standard"

HEADLINE_METRICS = ("accuracy", "shifted_accuracy", "worst_case_accuracy", "pairwise_consistency")
"""Metrics that tables show and `cnnshift compare` judges, with their default margins, unless others are selected."""

DIAGNOSTIC_METRICS = ("phase_spectrum",)
"""Metrics that locate a cause and do not rank models. Patterns in gates do not match them."""

DEFAULT_EXPLAIN_LIMIT = 200
"""Test images of `cnnshift explain` by default."""

SUB_TABLES = ("gates",)
"""Tables in `[tool.cnnshift]` that belong to other commands than the benchmark."""

Engine = Literal["auto", "direct", "shared"]


@dataclass(frozen=True, slots=True)
class ShiftRange:
    """Largest shift and spacing of the shifts, in pixels."""

    max_shift: Fraction
    step: Fraction


WHOLE_PIXEL_RANGE = ShiftRange(Fraction(8), Fraction(1))
"""Default of protocols that shift by whole pixels."""

SUBPIXEL_RANGE = ShiftRange(Fraction(2), Fraction(1, 3))
"""Default of protocols that shift by fractions: 168 shifts. The step is a third because a network that up-samples
twofold is exactly equivariant at halves even if it aliases."""


@dataclass(frozen=True, slots=True)
class MeasureConfig:
    """Everything that determines a measurement.

    Attributes:
        models: model specs, in the order of the table.
        dataset: data set spec.
        canvas: side in pixels of a background on which the images are centred; None for none.
        data_dir: option of the data set: directory of prepared data sets.
        raw_dir: option of the data set: directory of the files that it is prepared from.
        split: option of the data set: its test images.
        protocols: names of the shift protocols.
        shifts: shift set: grid, full, axis, diagonal or random:K.
        max_shift: largest |d|∞ in pixels; None for the default of each protocol.
        step: spacing of the shifts in pixels; None for the default of each protocol.
        metrics: ids of the metrics to compute; empty for all.
        seed: seed of the first training run.
        seeds: training runs per model, with the seeds seed, seed + 1, …
        limit: number of test images, a seeded subset; None for all.
        batch_size: images per compiled call; None chooses by backend.
        epochs: training epochs; None for the number of the recipe, 0 leaves models untrained.
        engine: `direct` runs every forward pass, `shared` shares them between shifts, `auto` chooses.
        deterministic: use bit-reproducible kernels, and choose no shape by timing.
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
    engine: Engine = "auto"
    deterministic: bool = False

    @property
    def metric_ids(self) -> tuple[str, ...]:
        """Ids of the metrics to compute."""
        return tuple(dict.fromkeys(self.metrics)) or tuple(METRICS)


DEFAULTS = MeasureConfig()

SETTINGS = [field.name for field in fields(MeasureConfig)]
_LISTS = ("models", "protocols", "metrics")


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """Settings, and the source of each value."""

    config: MeasureConfig
    origins: Mapping[str, str]


def resolve_config(
    flags: Mapping[str, Any],
    *,
    suite: str | None = None,
    config_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    project: Path | None = None,
) -> ResolvedConfig:
    """Merge all sources of settings and validate the result.

    Args:
        flags: values from the command line; None or [] for an option that was not used.
        suite: name of a suite; by default `standard`, unless a source names models.
        config_file: a TOML file of settings.
        environ: environment variables.
        project: a pyproject.toml; by default that of the working directory or of its nearest parent.

    Raises:
        InputError: unreadable files, unknown keys or invalid values; the message lists all of them.
    """
    project = project or find_project()
    sources: list[tuple[str, dict[str, Any]]] = [
        ("flag", {key: value for key, value in flags.items() if value not in (None, [])}),
        ("environment", _from_environment(environ)),
        (f"{config_file}", _read_toml(config_file) if config_file else {}),
        (f"{project}", _from_project(project)),
    ]
    if suite is not None:
        sources.insert(1, (f"suite {suite}", load_suite(suite)))
    elif not any("models" in values for _, values in sources):
        sources.append((f"suite {DEFAULT_SUITE}", load_suite(DEFAULT_SUITE)))
    problems = [
        f"{origin}: {unknown('setting', key, SETTINGS)}"
        for origin, values in sources
        for key in values
        if key not in SETTINGS
    ]
    if problems:
        raise InputError("\n".join(problems))
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(SETTINGS, "default")
    for origin, values in reversed(sources):
        merged |= values
        origins |= dict.fromkeys(values, origin)
    config = make_config(origins, **merged)
    if config.shifts == "full" and (unused := [key for key in ("max_shift", "step") if origins[key] == "flag"]):
        raise InputError(
            f"The shift set 'full' contains every circular shift; omit {' and '.join(map(_flag, unused))}."
        )
    return ResolvedConfig(config, origins)


def make_config(origins: Mapping[str, str] | None = None, /, **values: Any) -> MeasureConfig:
    """Validate settings; those that are not given have their defaults.

    Names of protocols and metrics must exist; specs are checked when they are parsed.

    Args:
        origins: source of each value, for the message; by default the arguments of a function.
        values: settings.

    Raises:
        InputError: invalid values; the message lists all of them.
    """
    import pydantic

    if values.get("batch_size") == "auto":
        values["batch_size"] = None
    try:
        config = pydantic.TypeAdapter(MeasureConfig).validate_python(values)
    except pydantic.ValidationError as error:
        sentences = (_sentence(problem, origins or {}) for problem in error.errors())
        raise InputError("\n".join(dict.fromkeys(sentences))) from None
    for table, names in ((PROTOCOLS, config.protocols), (METRICS, config.metrics)):
        for name in names:
            table[name]
    return config


def _sentence(problem: Any, origins: Mapping[str, str]) -> str:
    key = str(problem["loc"][0])
    origin = origins.get(key)
    name = _flag(key) if origin == "flag" else f"{key} (from {origin})" if origin else key
    return f"{name} is '{problem['input']}'; {validation_message(problem)}."


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def load_suite(name: str) -> dict[str, Any]:
    """Return the settings of a suite of the package.

    Raises:
        InputError: no such suite.
    """
    if name not in (names := suite_names()):
        raise InputError(unknown("suite", name, names))
    values = _parse_suite(name)
    values.pop("summary", None)
    return values


def suite_names() -> list[str]:
    """Return the names of the suites of the package."""
    return sorted(path.stem for path in _SUITES.glob("*.toml"))


def suite_summary(name: str) -> str:
    """Return the description of a suite."""
    return str(_parse_suite(name)["summary"])


_SUITES = Path(__file__).with_name("suites")


def _parse_suite(name: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads((_SUITES / f"{name}.toml").read_text(encoding="utf-8"))


def as_dict(config: MeasureConfig) -> dict[str, Any]:
    """Return settings as values of JSON."""
    return {key: _plain(value) for key, value in asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return serialize_length(value)
    return list(value) if isinstance(value, tuple) else value


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
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
    """Return the pyproject.toml of the working directory or of its nearest parent; the file may be missing."""
    here = Path()
    return next(
        (path for folder in (here, *here.resolve().parents) if (path := folder / "pyproject.toml").is_file()),
        here / "pyproject.toml",
    )


def project_table(path: Path) -> dict[str, Any]:
    """Return `[tool.cnnshift]` of a pyproject.toml, or an empty dictionary.

    Raises:
        InputError: the file cannot be read or is not TOML, the value is not a table, or it has an unknown sub-table.
    """
    if not path.is_file():
        return {}
    tool = _read_toml(path).get("tool", {})
    table = tool.get("cnnshift", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise InputError(f"{path}: tool.cnnshift is {table!r}; it must be a table.")
    allowed = [f"tool.cnnshift.{name}" for name in SUB_TABLES]
    if wrong := [key for key, value in table.items() if isinstance(value, dict) and key not in SUB_TABLES]:
        raise InputError("\n".join(f"{path}: {unknown('table', f'tool.cnnshift.{key}', allowed)}" for key in wrong))
    return table


def _from_project(path: Path) -> dict[str, Any]:
    return {key: value for key, value in project_table(path).items() if key not in SUB_TABLES}
