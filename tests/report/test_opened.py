"""An opened equation in a real browser: the order of its operands, their sizes, where a symbol is made and used."""

from __future__ import annotations

from typing import Any

from in_browser import lines, press, run
from written import Written

STOOD = """const picture = document.querySelector(`#${arguments[0]} .picture`);
    return [...picture.querySelectorAll(".sign, figure")].map(e => e.tagName === "FIGURE"
        ? [e.querySelector(".symbol").textContent, e.querySelector(".sizes").textContent,
           ...["width", "height"].map(k => parseInt(e.querySelector("canvas")?.style[k] ?? 0))]
        : e.textContent)"""


def opened(page: Any, target: str, notation: str) -> list[Any]:
    run(page, "document.querySelector(`input[value=${arguments[0]}]`).click()", notation)
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == target)
    if line.get_dom_attribute("aria-expanded") != "true":
        press(line, "ENTER")
    stood: list[Any] = run(page, STOOD, line.get_dom_attribute("aria-controls"))
    return stood


ORDER = {
    ("row", "Z1"): ["A(0)", "×", "W(1)", "+", "b(1)", "=", "Z(1)"],
    ("column", "Z1"): ["W[1]", "×", "A[0]", "+", "b[1]", "=", "Z[1]"],
    ("row", "dA1"): ["∂𝓛∂Z(2)", "×", "(W(2))⊤", "=", "∂𝓛∂A(1)"],
    ("column", "dA1"): ["(W[2])⊤", "×", "Δ[2]", "=", "∇A[1]J"],
    ("numpy", "Z1"): ["X", "×", "W1", "+", "b1", "=", "Z1"],
}


def test_operands_stand_in_the_order_of_the_equation(page: Any) -> None:
    for (notation, target), expected in ORDER.items():
        stood = opened(page, target, notation)
        assert [one if isinstance(one, str) else one[0] for one in stood] == expected
        arrays = [one for one in stood if not isinstance(one, str)]
        (_, left, wide, high), (_, right, width, height) = arrays[:2]
        _, whole, broad, tall = arrays[-1]
        rows, inner = left.strip("()").split(", ")
        depth, columns = right.strip("()").split(", ")
        assert inner == depth and whole == f"({rows}, {columns})"
        assert wide == height and high == tall and width == broad  # equal sizes have equal edges
        if target == "Z1":  # the bias lies, or stands
            assert (arrays[2][2] > arrays[2][3]) == (notation != "column")


def test_a_symbol_shows_where_it_is_made_and_used(page: Any) -> None:
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "dZ2")
    press(line, "ENTER")
    panel = page.find_element("id", line.get_dom_attribute("aria-controls"))
    symbol = panel.find_element("css selector", ".symbol[data-symbol=A2]")
    press(symbol, "ENTER")
    assert page.switch_to.active_element == symbol
    lit = run(page, "return [...document.querySelectorAll('#lines .lit')].map(e => e.dataset.symbol)")
    assert len(lit) > 3 and set(lit) == {"A2"}
    text = panel.find_element("css selector", ".chosen").text
    assert "is made here" in text and "It is used in" in text
    made, *_ = panel.find_elements("css selector", ".chosen .place")
    press(made, "ENTER")
    goal = page.switch_to.active_element
    assert goal.get_dom_attribute("data-target") == "A2" and goal.get_dom_attribute("aria-expanded") == "true"


def test_the_steps_of_a_gradient_unfold_under_it(page: Any, written: Written) -> None:
    opened(page, "dW1", "column")
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "dW1")
    panel = page.find_element("id", line.get_dom_attribute("aria-controls"))
    press(panel.find_element("tag name", "summary"), "ENTER")
    run(page, "return new Promise(done => { const wait = () => arguments[0].querySelector('.unfolded .reason') ? done()"
              " : requestAnimationFrame(wait); wait(); })", panel)  # fmt: skip
    views = written.net.derive(targets="labels").steps("dW1", "column").views
    said = run(page, "return [...arguments[0].querySelectorAll('.unfolded .reason')].map(e => e.textContent)", panel)
    assert len(said) == len(views) > 10 and said[-1] == views[-1].why
    assert (
        "1/m stands in the gradient by the last layer here" in panel.find_element("css selector", "details .says").text
    )
    last = run(page, "return [...arguments[0].querySelectorAll('.unfolded math')].at(-1).textContent", panel)
    assert last.startswith("=Δ[1](A[0])⊤")


def test_an_element_of_a_product_shows_its_row_and_its_column(page: Any) -> None:
    opened(page, "Z1", "row")
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "Z1")
    panel = page.find_element("id", line.get_dom_attribute("aria-controls"))
    canvas = panel.find_element("css selector", ".result canvas")
    for key in ("ARROW_DOWN", "ARROW_RIGHT", "ARROW_RIGHT"):
        press(canvas, key)
    number = run(page, "return report.player.value('Z1')[1 * 16 + 2]")
    reading = panel.find_element("css selector", ".reading").text.replace("\u2212", "-")
    assert "[1, 2]" in reading and float(reading.split("= ")[1]) == float(f"{number:.4g}")
    script = """return [...arguments[0].querySelectorAll('.cross')].map(c => c.hidden ? null :
        ['top', 'height', 'left', 'width'].map(k => c.style[k]))"""
    left, right, bias, whole = run(page, script, panel)
    assert left == ["3.125%", "3.125%", "0px", "100%"] and right == ["0px", "100%", "12.5%", "6.25%"] and bias is None
    assert whole == ["3.125%", "3.125%", "12.5%", "6.25%"]
