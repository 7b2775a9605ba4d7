"""Gates as they are written: margins of differences, and requirements on values.

A gate is `METRIC:MARGIN`: the metric may not get worse by more than the margin. A requirement is `METRIC>=VALUE`. In
both, METRIC is an id or a pattern with `*`, `?` and `[…]`; of several gates for a metric the last one counts.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

from cnnshift.catalog import METRICS
from cnnshift.config import DEFAULT_GATES, DIAGNOSTIC_METRICS, find_project, project_table
from cnnshift.errors import InputError
from cnnshift.registry import unknown

OnInconclusive = Literal["warn", "fail", "pass"]

_PATTERN = r"[A-Za-z0-9_*?\[\]!-]+"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_MARGIN = re.compile(rf"({_PATTERN}):({_NUMBER})(pp|px|%|)")
_REQUIREMENT = re.compile(rf"({_PATTERN})\s*(>=|<=|>|<)\s*({_NUMBER})\s*(px|%|)")
UNIT_OF_SIGN = {"%": "fraction", "px": "px"}
"""Metrics that a value with a sign can be required of."""
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Gate:
    """How much worse a metric may get.

    Attributes:
        pattern: id of a metric, or a pattern of ids.
        number: as it is written.
        sign: `pp` percentage points of a fraction (a pattern leaves metrics that are none at their own margins); `%`
            of the baseline's value; `px` pixels; or nothing: the metric's own unit, in which a fraction is a number
            from 0 to 1.
    """

    pattern: str
    number: float
    sign: Literal["pp", "px", "%", ""]

    def margin(self, id: str, unit: str, base: float) -> float:
        """The margin in the metric's unit.

        Args:
            id: of the metric.
            unit: of the metric.
            base: the baseline's value.

        Raises:
            InputError: px for a metric that is no length, pp for one that is no fraction, or a margin that no
                fraction can exceed.
        """
        if self.sign == "px" and unit != "px":
            raise InputError(f"'{self}' does not fit {id}, which is no length in pixels.")
        if self.sign == "pp" and unit != "fraction":
            if is_glob(self.pattern) and id in METRICS:
                return METRICS.load(id).spec.default_margin
            raise InputError(f"'{self}' does not fit {id}, which is no fraction; write its margin without pp.")
        if self.sign == "%":
            return self.number / 100 * abs(base)
        margin = self.number / 100 if self.sign == "pp" else self.number
        if unit == "fraction" and margin >= 1:
            raise InputError(f"'{self}' can never fail: a fraction such as {id} cannot fall by 100 pp; 1 pp is 1pp.")
        return margin

    def is_for(self, unit: str) -> bool:
        """Whether it may judge metrics of a unit: a pattern is for those that its sign fits, a name insists."""
        return not is_glob(self.pattern) or self.sign != "px" or unit == "px"

    def __str__(self) -> str:
        return f"{self.pattern}:{self.number:.15g}{self.sign}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a metric's value must be: the measured value itself, whatever its interval.

    Attributes:
        pattern: as of a `Gate`.
        comparison: >=, <=, > or <.
        number: as it is written.
        sign: `%` of a fraction, `px`, or nothing: the metric's own unit.
    """

    pattern: str
    comparison: str
    number: float
    sign: Literal["px", "%", ""]

    def is_met(self, id: str, unit: str, value: float) -> bool:
        """Whether a value meets it.

        Raises:
            InputError: % for a metric that is no fraction, or px for one that is no length.
        """
        if not _fits(self.sign, unit):
            allowed = {"fraction": "a fraction", "px": "a length in pixels", "": "a plain number"}[unit]
            raise InputError(f"'{self}' does not fit {id}, which is {allowed}.")
        needed = self.number / 100 if self.sign == "%" else self.number
        if unit == "fraction" and not 0 <= needed <= 1:
            raise InputError(f"'{self}' asks for {needed:g} of {id}, a fraction from 0 to 1; write 97% or 0.97.")
        return _COMPARISONS[self.comparison](value, needed)

    def is_for(self, unit: str) -> bool:
        """As of a gate."""
        return not is_glob(self.pattern) or _fits(self.sign, unit)

    def __str__(self) -> str:
        return f"{self.pattern}{self.comparison}{self.number:.15g}{self.sign}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What makes a comparison fail.

    Attributes:
        gates: margins; the last that matches a metric counts. Without any, every metric has its own.
        requirements: on the values of every candidate.
        on_inconclusive: what becomes of a difference beyond its margin that may be chance.
        asked: whether gates, or what becomes of inconclusive rows, were asked for here and now: what a project keeps in
            its pyproject.toml is for comparisons with a baseline, not for those between architectures.
        origin: where the gates are from.
        explicit: whether the gates were asked for, or are the default ones, of which only the headline metrics count.
    """

    gates: tuple[Gate, ...]
    requirements: tuple[Requirement, ...] = ()
    on_inconclusive: OnInconclusive = "warn"
    explicit: bool = True
    asked: bool = True
    origin: str = "arguments"

    def metrics(self, there: Mapping[str, str]) -> list[str]:
        """What is to be compared of the metrics that a baseline has, given as units by id.

        A pattern asks for what is there, so that a metric which is new does not make an old file incomparable, and of
        it for the metrics that its margin fits; a name asks for that metric, there or not. Without gates of one's own
        it is the headline metrics, or all where none of them was measured.
        """
        if not self.explicit:
            return [id for id in DEFAULT_GATES if id in there] or [id for id in there if id in METRICS]
        patterns = [gate.pattern for gate in self.gates]
        named = [pattern for pattern in patterns if not is_glob(pattern) and pattern not in there]
        judged = [id for id, unit in there.items() if self.gate(id, unit) is not None]
        return [*judged, *dict.fromkeys(named)]

    def gate(self, id: str, unit: str) -> Gate | None:
        """The last gate that matches a metric, of those that are for its unit."""
        if not self.explicit:
            return Gate(id, METRICS.load(id).spec.default_margin, "")
        found = (gate for gate in reversed(self.gates) if _asks_for(gate.pattern, id) and gate.is_for(unit))
        return next(found, None)


def _asks_for(pattern: str, id: str) -> bool:
    return pattern == id or (id not in DIAGNOSTIC_METRICS and fnmatchcase(id, pattern))


def matching(patterns: Sequence[str], ids: Iterable[str]) -> list[str]:
    """Ids that a pattern matches, in their order."""
    return [id for id in ids if any(fnmatchcase(id, pattern) for pattern in patterns)]


def is_glob(pattern: str) -> bool:
    """Whether a pattern may stand for several ids."""
    return any(mark in pattern for mark in "*?[")


def parse_gate(text: str) -> Gate:
    """A gate from its text, such as `pairwise_consistency:0.5pp`, `mac:5%` or `*:1pp`.

    Raises:
        InputError: not of that form, or a negative margin.
    """
    found = _MARGIN.fullmatch(text.strip())
    if not found or float(found[2]) < 0 or not math.isfinite(float(found[2])):
        raise InputError(
            f"The gate '{text}' is not METRIC:MARGIN with a margin from 0, such as accuracy:0.5pp (percentage points), "
            "mac:5% (of the baseline's value), invariance_radius:1px or *:0.01."
        )
    sign: Any = found[3]
    return Gate(found[1], float(found[2]), sign)


def parse_requirement(text: str) -> Requirement:
    """A requirement from its text, such as `accuracy>=97%` or `flip_probability<0.01`.

    Raises:
        InputError: not of that form.
    """
    found = _REQUIREMENT.fullmatch(text.strip())
    if not found or not math.isfinite(float(found[3])):
        raise InputError(
            f"The requirement '{text}' is not METRIC>=VALUE (or <=, >, <), such as accuracy>=97% or kappa>=0.8."
        )
    sign: Any = found[4]
    return Requirement(found[1], found[2], float(found[3]), sign)


def resolve_policy(
    fail_if: Sequence[str] = (),
    require: Sequence[str] = (),
    on_inconclusive: str | None = None,
    *,
    project: Path | None = None,
) -> Policy:
    """The policy of the flags, else of `[tool.cnnshift.gates]` in pyproject.toml, else the default.

    Args:
        fail_if: gates.
        require: requirements.
        on_inconclusive: warn, fail or pass.
        project: the pyproject.toml to look into; by default that of this folder or of the nearest one above it.

    Raises:
        InputError: a gate, requirement or key that cannot be read.
    """
    project = project or find_project()
    table = project_table(project).get("gates", {})
    if not isinstance(table, Mapping):
        raise InputError(f"{project}: tool.cnnshift.gates is {table!r}; a table is needed.")
    if problems := [f"{project}: {unknown('gate setting', key, _KEYS)}" for key in table if key not in _KEYS]:
        raise InputError("\n".join(problems))
    kept = [*_texts(table, "fail_if", project)]
    choice: Any = table.get("on_inconclusive", "warn") if on_inconclusive is None else on_inconclusive
    try:
        requirements = tuple(map(parse_requirement, [*require] or _texts(table, "require", project)))
        gates = tuple(map(parse_gate, [*fail_if] or kept))
        if choice not in get_args(OnInconclusive):
            raise InputError(unknown("value of on-inconclusive", str(choice), get_args(OnInconclusive)))
    except InputError as problem:
        # It may be a line of the file that is meant.
        raise InputError(f"{problem} (Gates are also read from {project}.)" if table else f"{problem}") from None
    return Policy(
        gates,
        requirements,
        choice,
        explicit=bool(gates),
        asked=bool(fail_if) or on_inconclusive is not None,
        origin="arguments" if fail_if else str(project) if kept else "defaults",
    )


_KEYS = ("fail_if", "require", "on_inconclusive")


def _texts(table: Mapping[str, Any], key: str, project: Path) -> list[str]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{project}: {key} is {values!r}; a list of texts is needed.")
    return values


def _fits(sign: str, unit: str) -> bool:
    return not sign or UNIT_OF_SIGN[sign] == unit
