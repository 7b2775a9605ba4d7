"""The colour map viridis, whose lightness increases evenly."""

from __future__ import annotations

from cnnshift.render.styled_text import RGB

# Colours at 0, 1/10, …, 1; linear interpolation is within 13 of 255. Source: van der Walt & Smith 2015, CC0.
VIRIDIS: tuple[RGB, ...] = (
    (68, 1, 84),
    (72, 36, 117),
    (65, 68, 135),
    (53, 95, 141),
    (42, 120, 142),
    (33, 145, 140),
    (34, 168, 132),
    (68, 191, 112),
    (122, 209, 81),
    (189, 223, 38),
    (253, 231, 37),
)


def color_at(fraction: float) -> RGB:
    """Return the colour at a position from 0 (dark) to 1 (light); positions outside are clipped."""
    position = min(max(fraction, 0.0), 1.0) * (len(VIRIDIS) - 1)
    index = min(int(position), len(VIRIDIS) - 2)
    weight = position - index
    red, green, blue = (round(a + weight * (b - a)) for a, b in zip(VIRIDIS[index], VIRIDIS[index + 1], strict=True))
    return red, green, blue
