"""The document of a benchmark: title, columns and fractional shifts."""

import json
from fractions import Fraction

from cnnshift.catalog import FORMATS
from cnnshift.render.document import Style
from cnnshift.render.documents.bench import bench_document
from tests.bench_results import result, run


def test_the_headline_metrics_are_shown_unless_others_were_selected():
    def headings(*metrics):
        (table,) = bench_document(result(run(), metrics=metrics)).tables
        return [column.heading.partition(" [")[0] for column in table.columns]

    assert headings()[:4] == ["model", "accuracy %", "shifted accuracy %", "pairwise consistency %"]
    assert headings("kappa") == ["model", "kappa", "params", "images/s"]


def test_the_title_states_the_information_loss_of_protocols_that_do_not_wrap():
    wraps, other = run(protocol="plugin"), run(protocol="plugin")
    wraps = wraps.model_copy(update={"protocol": wraps.protocol.model_copy(update={"wraps": True})})
    for one, lost in ((wraps, False), (other, True)):
        assert ("energy lost" in bench_document(result(one)).tables[0].title) == lost


def fractional():
    one = run(protocol="fourier")
    protocol = one.protocol.model_copy(update={"step": Fraction(1, 3), "max_shift": Fraction(5, 3)})
    radii = one.by_radius.model_copy(update={"radius": [1 / 3, 5 / 3]})
    return one.model_copy(update={"protocol": protocol, "by_radius": radii})


def test_fractions_of_a_pixel_are_shown_as_fractions():
    document = bench_document(result(fractional()))
    text = FORMATS.load("markdown")(document, Style())
    assert "toy · 4 test images × 24 shifts \\[fourier, \\|d\\|≤5/3, step 1/3\\]**" in text
    assert "accuracy at \\|d\\| = 1/3 … 5/3" in text
    assert "of the predictions change under shifts of up to 5/3 px in steps of 1/3 px" in text
    records = document.records
    assert {(one["max_shift"], one["step"]) for one in records} == {("5/3", "1/3")}
    assert ",5/3,1/3," in FORMATS.load("csv")(document, Style())
    (line,) = FORMATS.load("jsonl")(document, Style()).splitlines()[:1]
    assert json.loads(line)["protocol"]["step"] == "1/3"
