"""Format numbers for people."""

from __future__ import annotations

UNIT_SUFFIXES = {"fraction": " %", "px": " px", "": ""}


def format_value(value: float, unit: str) -> str:
    """Format the value of a metric without its unit; fractions as `percent`."""
    if unit == "fraction":
        return percent(value)
    if unit == "px":
        return f"{value:.1f}"
    # Differences of equal sums leave rounding errors.
    return "0" if abs(value) < 1e-9 else f"{value:.3g}".replace("-", "−", 1)


def format_with_unit(value: float, unit: str) -> str:
    """Format the value of a metric with its unit."""
    return f"{format_value(value, unit)}{UNIT_SUFFIXES[unit]}"


def percent(value: float) -> str:
    """Format a fraction as per cent, with one to three decimals, and with none only if it is exactly 0 or 1."""
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
    """Format an interval as `[low, high]` without its unit."""
    return "" if ci95 is None else f"[{format_value(ci95[0], unit)}, {format_value(ci95[1], unit)}]"


def format_count(value: int | float | None) -> str:
    """Format a count with a thousands separator."""
    return "–" if value is None else f"{value:,.0f}"


def format_difference(value: float, unit: str) -> str:
    """Format a difference with its sign and unit; of fractions in percentage points (pp)."""
    sign = "−" if value < 0 else "+" if value > 0 else "±"
    size = abs(value) * 100 if unit == "fraction" else abs(value)
    text = "0" if size == 0 else f"{size:.2f}" if size >= 0.005 else f"{size:.1g}"
    return f"{sign}{text}{' pp' if unit == 'fraction' else UNIT_SUFFIXES[unit]}"
