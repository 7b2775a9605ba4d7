"""How numbers read in every format for people."""

from __future__ import annotations

from cnnshift.results.aggregate import ContractGroup


def format_value(value: float, unit: str) -> str:
    """A metric's value: fractions as per cent with one decimal, more where rounding would claim 0 or 100."""
    if unit == "fraction":
        return percent(value)
    if unit == "px":
        return f"{value:.1f}"
    # What is left of a difference of equal sums is rounding.
    return "0" if abs(value) < 1e-9 else f"{value:.3g}".replace("-", "−", 1)


def format_with_unit(value: float, unit: str) -> str:
    """Return `format_value` followed by the unit."""
    return f"{format_value(value, unit)}{UNIT_SUFFIXES[unit]}"


def percent(value: float) -> str:
    """A fraction as per cent. "100" and "0" without decimals are exact; nothing else is rounded to them."""
    if value < 0:
        return f"−{percent(-value)}".replace("−<", ">−").replace("−>", "<−")
    if value in (0.0, 1.0):
        return f"{abs(value) * 100:.0f}"
    for decimals in (1, 2, 3):
        text = f"{value * 100:.{decimals}f}"
        if 0 < float(text) < 100:
            return text
    return "<0.001" if value < 0.5 else ">99.999"


def format_interval(ci95: tuple[float, float] | None, unit: str) -> str:
    """An interval as `[low, high]` in the unit of its value."""
    return "" if ci95 is None else f"[{format_value(ci95[0], unit)}, {format_value(ci95[1], unit)}]"


def format_count(value: int | float | None) -> str:
    """A count with a thousands separator."""
    return "–" if value is None else f"{value:,.0f}"


def format_difference(value: float, unit: str) -> str:
    """A difference with its sign; of fractions in percentage points (pp)."""
    sign = "−" if value < 0 else "+" if value > 0 else "±"
    size = abs(value) * 100 if unit == "fraction" else abs(value)
    text = "0" if size == 0 else f"{size:.2f}" if size >= 0.005 else f"{size:.1g}"
    return f"{sign}{text}{DIFFERENCE_SUFFIXES[unit]}"


TORUS = ("circular", "fourier", "bilinear")
"""Protocols under which nothing can leave, which is not worth a word."""

UNIT_SUFFIXES = {"fraction": " %", "px": " px", "": ""}
DIFFERENCE_SUFFIXES = {"fraction": " pp", "px": " px", "": ""}


def headline(group: ContractGroup) -> str:
    """What a table was measured on."""
    run = group.example
    lost = run.protocol.information_loss
    loss = f" · {percent(lost)} % of the foreground energy lost" if run.protocol.name not in TORUS else ""
    untrained = all(run.training.recipe.get("epochs") == 0 for row in group.models for run in row.runs)
    seeds = max(len(row.runs) for row in group.models)
    return (
        f"{run.dataset.name} · {run.dataset.n:,} test images × {run.protocol.count:,} shifts [{run.protocol.movement}]"
        + loss
        + (" · untrained networks" if untrained else "")
        + (f" · mean of {seeds} seeds" if seeds > 1 else "")
    )
