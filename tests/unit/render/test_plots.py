"""Heat maps, curves and sparklines as text: content, width and colour."""

import doctest
import importlib
import math
import re

import numpy as np
import pytest

from cnnshift.catalog import FORMATS
from cnnshift.render.document import Column, Curve, Document, HeatMap, Style, Table
from cnnshift.render.heatmap import VIRIDIS, color_at
from cnnshift.render.plots import draw
from cnnshift.render.sparkline import sparkline, thin_out
from cnnshift.render.styled_text import plain_text, wrap


def heat_map(values, *, y=None, x=None, low=0.0, high=1.0, **fields):
    y, x = list(y or range(len(values))), list(x or range(len(values[0])))
    return HeatMap(
        **({"title": "consistency", "unit": "fraction"} | fields), values=values, y=y, x=x, low=low, high=high
    )


def lines(*pictures, color=False, width=None):
    return [plain_text(line).rstrip() for line in draw(pictures, color=color, width=width)][1:]


RAMP = heat_map([[0.0, 0.25, 0.5], [0.7, None, 0.9], [1.0, 0.1, 0.3]], y=[-1, 0, 1], x=[-1, 0, 1], missing="(0, 0)")


def test_a_small_map_in_shades():
    # Each of the 3×3 cells has four characters and two lines; each shade is a fifth of the scale.
    assert lines(RAMP) == [
        "consistency",
        "-1 │    ░░░░▒▒▒▒│",
        "dy │    ░░░░▒▒▒▒│",
        " 0 │▓▓▓▓····████│",
        "   │▓▓▓▓····████│",
        "   │████    ░░░░│",
        " 1 │████    ░░░░│",
        "dx  -1  0      1",
        "0 │  ░░▒▒▓▓██│ 100 %",
        "min 0 % at (dy=-1, dx=-1)",
        "max 100 % at (dy=1, dx=-1)",
        "·: (0, 0)",
    ]


def test_a_small_map_with_colour():
    # Each cell has four characters and two lines of half blocks.
    drawn = lines(RAMP, color=True)
    assert drawn[1:7] == [
        "-1 ▀▀▀▀▀▀▀▀▀▀▀▀",
        "dy ▀▀▀▀▀▀▀▀▀▀▀▀",
        " 0 ▀▀▀▀····▀▀▀▀",
        "   ▀▀▀▀····▀▀▀▀",
        "   ▀▀▀▀▀▀▀▀▀▀▀▀",
        " 1 ▀▀▀▀▀▀▀▀▀▀▀▀",
    ]
    assert drawn[7:] == [
        "dx -1  0      1",
        "0 ██████████ 100 %",
        "min 0 % at (dy=-1, dx=-1)",
        "max 100 % at (dy=1, dx=-1)",
        "empty: (0, 0)",
    ]


def test_two_rows_share_a_line_with_colour():
    values = np.linspace(0, 1, 17 * 17).reshape(17, 17)
    picture = heat_map(values.tolist(), y=range(-8, 9), x=range(-8, 9))
    body = draw([picture], color=True, width=None)[2:11]
    assert [len(plain_text(line)) for line in body] == [3 + 17] * 9
    for index, line in enumerate(body):
        spans = [span for span in line if "▀" in span.text]
        assert sum(len(span.text) for span in spans) == 17
        column = 0
        for span in spans:
            for _ in span.text:
                assert span.foreground == color_at(values[2 * index, column])
                # Nothing is below the 17th row.
                assert span.background == (None if index == 8 else color_at(values[2 * index + 1, column]))
                column += 1


def test_a_missing_half_has_the_default_background():
    values = [[0.5] * 17 for _ in range(4)]
    values[0][3] = values[1][4] = values[2][5] = values[3][5] = None
    first, second = draw([heat_map(values)], color=True, width=None)[2:4]
    middle = color_at(0.5)
    assert [(span.text, span.foreground, span.background) for span in first[1:]] == [
        ("▀▀▀", middle, middle),
        ("▄", middle, None),
        ("▀", middle, None),
        ("▀" * 12, middle, middle),
    ]
    assert plain_text(second)[3:] == "▀▀▀▀▀·▀▀▀▀▀▀▀▀▀▀▀"


def document(*pictures):
    return Document("test", None, [], tables=[Table("t", [Column("a", [])], plots=pictures)])


def test_escape_codes_are_written_only_with_colour():
    table = FORMATS.load("table")
    assert "\x1b" not in table(document(RAMP), Style(80))
    in_256 = table(document(RAMP), Style(80, color=True))
    assert re.search(r"\x1b\[38;5;\d+;48;5;\d+m▀", in_256)
    assert "38;2;" not in in_256
    without = re.sub(r"\x1b\[[\d;]*m", "", in_256)
    assert [line.rstrip() for line in without.splitlines()][-11:] == lines(RAMP, color=True)[1:]
    # Rich caches the codes of a colour, so that this map has another colour.
    in_24_bits = table(document(heat_map([[0.37]])), Style(80, color=True, truecolor=True))
    red, green, blue = color_at(0.37)
    assert f"38;2;{red};{green};{blue}" in in_24_bits


def test_large_maps_are_averaged_over_blocks():
    values = np.arange(96.0 * 96).reshape(96, 96)
    values[:2, :2] = np.nan
    picture = heat_map(values.tolist(), high=96.0 * 96, unit="")
    drawn = lines(picture)
    assert len([line for line in drawn if line.count("│") == 2]) == 48 + 1
    assert drawn[-1] == "each cell: mean of 2×2"
    assert drawn[1].startswith(" 0 │··")
    assert "min 2 at (dy=0, dx=2)" in drawn


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("width", [20, 33, 60, 80, 120])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 30), (17, 17), (32, 32), (70, 100)], ids=str)
def test_no_line_exceeds_the_width(shape, width, color):
    rng = np.random.default_rng(0)
    rows, columns = shape
    values = rng.random(shape)
    picture = heat_map(values.tolist(), y=(np.arange(rows) - rows // 2).tolist(), x=(np.arange(columns) - 3).tolist())
    curve = Curve("accuracy", list(range(columns)), {"cnn:pool=blur,blur=5": values[0].tolist()}, "fraction", 0.0, 1.0)
    drawn = lines(picture, picture, curve, color=color, width=width)
    assert max(map(len, drawn)) <= width
    assert drawn[0].startswith("consistency")
    text = " ".join(drawn)
    assert "min" in text
    assert "max" in text


def test_a_scale_with_equal_limits_gives_the_middle_shade():
    flat = heat_map([[0.4, 0.4]], low=0.4, high=0.4)
    assert lines(flat)[1] == " 0 │▒▒▒▒▒▒▒▒│"
    assert lines(flat)[-2:] == ["min 40.0 % at (dy=0, dx=0)", "max 40.0 % at (dy=0, dx=0)"]
    assert draw([flat], color=True, width=None)[2][1].foreground == color_at(0.5)


def test_one_row_and_one_column():
    assert lines(heat_map([[0.0, 0.5, 1.0] * 6], x=range(-9, 9), y=[7])) == [
        "consistency",
        " 7 │  ▒▒██  ▒▒██  ▒▒██  ▒▒██  ▒▒██  ▒▒██│",
        "dx  -9                0                8",
        "0 │  ░░▒▒▓▓██│ 100 %",
        "min 0 % at (dy=7, dx=0)",
        "max 100 % at (dy=7, dx=-1)",
    ]
    assert lines(heat_map([[1.0]]))[1:4] == [" 0 │████│", "dy │████│", "dx  0"]


def test_no_values_at_all():
    drawn = lines(heat_map([[None, math.nan]]))
    assert "min" not in " ".join(drawn)
    assert "no values" in drawn
    assert drawn[-1] == "·: no value"


def test_values_outside_the_scale_are_clipped():
    drawn = lines(heat_map([[-1.0, 2.0]], low=0.0, high=1.0))
    assert drawn[1] == " 0 │    ████│"


def test_fractions_of_a_pixel_on_the_axes():
    drawn = lines(heat_map([[0.5] * 3] * 3, y=[-0.5, 0, 0.5], x=[-0.5, 0.0, 0.5]))
    assert drawn[1].startswith("-0.5 │")
    assert drawn[6].startswith(" 0.5 │")
    assert drawn[7] == "  dx  -0.5     0.5"
    assert "(dy=0, dx=0)" in drawn[-1]


def test_maps_are_placed_side_by_side_if_they_fit():
    other = heat_map([[0.5] * 3] * 3, title="a longer title than the map is wide")
    both = lines(RAMP, other, width=56)
    assert both[0] == " " * 29 + "a longer title than the map"
    assert both[1] == "consistency" + " " * 18 + "is wide"
    assert both[2] == "-1 │    ░░░░▒▒▒▒│" + " " * 12 + " 0 │▒▒▒▒▒▒▒▒▒▒▒▒│"
    assert lines(RAMP, other, width=55) == [*lines(RAMP, width=55), "", *lines(other, width=55)]


CURVE = Curve(
    "accuracy",
    [1, 2, 4],
    {"cnn": [1.0, 0.5, 0.0], "cnn:pool=blur,padding=circular": [0.25, None, 0.995]},
    "fraction",
    0.0,
    1.0,
)


def test_curves_share_a_scale_and_are_aligned():
    assert lines(CURVE) == [
        "accuracy at |d| = 1 … 4 · bars: 0 to 100 %",
        "cnn                             100 % ██████████▅▅▅▅▅▅▅▅▅▅▁▁▁▁▁▁▁▁▁▁    0 %",
        "cnn:pool=blur,padding=circular 25.0 % ▃▃▃▃▃▃▃▃▃▃··········██████████ 99.5 %",
    ]
    assert lines(CURVE, width=40) == [
        "accuracy at |d| = 1 … 4 · bars: 0 to",
        "100 %",
        "cnn               100 % ███▅▅▅▁▁▁    0 %",
        "cnn:pool=blur,",
        "padding=circular 25.0 % ▃▃▃···███ 99.5 %",
    ]


def test_a_missing_end_is_a_dash():
    curve = Curve("sensitivity", [1, 2], {"a": [None, 0.5]}, "", 0.0, 0.5)
    assert lines(curve)[1] == "a – " + "·" * 16 + "█" * 16 + " 0.5"


def test_sparklines_use_the_given_scale():
    assert sparkline([0.0, 0.5, 1.0], 0.0, 1.0) == "▁▅█"
    assert sparkline([0.0, 0.5, 1.0], 0.0, 2.0) == "▁▃▅"
    assert sparkline([5.0, 6.0, 7.0], 5.0, 7.0) == "▁▅█"
    assert sparkline([-9.0, 9.0, math.inf], 0.0, 1.0) == "▁██"
    assert sparkline([None, math.nan, 0.0], 0.0, 1.0) == "··▁"
    assert sparkline([3.0, 3.0], 3.0, 3.0) == "▄▄"
    assert sparkline([], 0.0, 1.0) == ""


@pytest.mark.parametrize("count", [1, 5, 16, 17, 100])
def test_thinning_keeps_the_ends(count):
    indices = thin_out(count, 16)
    assert len(indices) == min(count, 16)
    assert indices[0] == 0
    assert indices[-1] == count - 1
    assert (np.diff(indices) > 0).all()


def test_markdown_fences_are_longer_than_backticks_in_names():
    nasty = heat_map([[0.5]], title="```\n# heading `` ````")
    text = FORMATS.load("markdown")(document(RAMP, nasty, CURVE), Style(40, color=True, truecolor=True))
    assert "\x1b" not in text
    block = text.splitlines()
    fences = [index for index, line in enumerate(block) if line == "`````"]
    assert len(fences) == 2
    inside = block[fences[0] + 1 : fences[1]]
    assert inside == lines(RAMP, nasty, CURVE)
    assert "# heading" not in "\n".join(block[: fences[0]] + block[fences[1] :])


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "github", "junit"])
def test_formats_for_programs_have_no_plots(name):
    bare = document()
    assert FORMATS.load(name)(document(RAMP, CURVE), Style()) == FORMATS.load(name)(bare, Style())


@pytest.mark.parametrize(("text", "width", "pieces"), [
    ("a b", 10, ["a b"]),
    ("cnn:pool=blur,padding=circular", 20, ["cnn:pool=blur,", "padding=circular"]),
    ("abcdefgh", 3, ["abc", "def", "gh"]),
    ("two\nlines", 20, ["two lines"]),
    ("", 5, [""]),
])  # fmt: skip
def test_text_is_wrapped_after_spaces_and_commas(text, width, pieces):
    assert wrap(text, width) == pieces


def lightness(color):
    """L* of CIELAB of an sRGB colour."""
    linear = [(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in (v / 255 for v in color)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16


def test_the_lightness_of_the_colours_increases_evenly():
    assert color_at(0.0) == VIRIDIS[0]
    assert color_at(1.0) == VIRIDIS[-1]
    assert color_at(-1.0) == color_at(0.0)
    assert color_at(9.0) == color_at(1.0)
    steps = np.diff([lightness(color_at(step / 50)) for step in range(51)])
    assert (steps > 0).all()
    assert steps.max() < 1.5 * steps.mean()


def test_examples_in_docstrings():
    found = doctest.testmod(importlib.import_module("cnnshift.render.sparkline"))
    assert found.attempted
    assert not found.failed
