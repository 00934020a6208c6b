"""The report in a real browser, headless: skipped, with the reason, where there is none."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from in_browser import lines, press, run, size, theme
from written import Written

from problems import in_turn


def formulas(browser: Any) -> list[str]:
    texts: list[str] = run(browser, "return [...document.querySelectorAll('#lines .formula')].map(e => e.textContent)")
    return texts


def test_it_loads_without_errors_and_asks_for_nothing(page: Any) -> None:
    import json

    assert page.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:", "data:")) for url in asked), asked
    assert len(lines(page)) > 15 and run(page, "return document.querySelectorAll('#lines math').length") > 15


def test_switching_the_notation_changes_the_equations(page: Any, written: Written) -> None:
    from chainrule.notation import notation_names, views

    seen = [formulas(page)]
    program = written.net.derive(optimizer=written.optimizer, targets="labels")
    for name in notation_names()[1:]:
        run(page, "document.querySelector(`input[value=${arguments[0]}]`).click()", name)
        now = formulas(page)
        assert len(now) == len(views(program, name)) and now not in seen
        seen.append(now)
        says = page.find_element("id", "notation-says").text
        assert ("Here λ = 0.1; gradients by Z and A are those of the sum" in says) == (name == "column")
    assert formulas(page)[0] == "Z1 = X @ W1 + b1"


def test_the_notation_can_be_chosen_with_the_keyboard(page: Any) -> None:
    first = formulas(page)
    press(page.find_element("css selector", "input[value=row]"), "ARROW_RIGHT")
    assert run(page, "return document.querySelector('input[name=notation]:checked').value") == "column"
    assert formulas(page) != first


def drawn(browser: Any, panel: str) -> list[int]:
    """Different colours on each canvas of a panel."""
    script = """return [...document.getElementById(arguments[0]).querySelectorAll("canvas")].map(c => {
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, seen = new Set();
        for (let k = 0; k < d.length; k += 4) seen.add(d[k] << 16 | d[k + 1] << 8 | d[k + 2]);
        return seen.size; })"""
    colours: list[int] = run(browser, script, panel)
    return colours


@pytest.mark.parametrize("how", in_turn(["ENTER", "click", "SPACE"], 0))
def test_choosing_an_equation_shows_its_arrays(page: Any, how: str) -> None:
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "dW1")
    panel = line.get_dom_attribute("aria-controls")
    assert not page.find_element("id", panel).is_displayed()
    run(page, "arguments[0].scrollIntoView({block: 'center'})", line)
    line.click() if how == "click" else press(line, how)
    assert line.get_dom_attribute("aria-expanded") == "true" and page.find_element("id", panel).is_displayed()
    colours = drawn(page, panel)
    assert len(colours) >= 3 and min(colours) > 8  # two operands at least, and the result
    text = page.find_element("id", panel).text
    assert "result" in text and "(64, 16)" in text and all(word in text for word in ("min", "max", "mean", "zeros"))
    line.click() if how == "click" else press(line, how)
    assert not page.find_element("id", panel).is_displayed()


def test_focus_is_seen_and_nothing_is_out_of_the_keyboards_reach(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    reached = set()
    outline = "return (e => [e.tagName, getComputedStyle(e).outlineStyle])(document.activeElement)"
    for _ in range(24):
        ActionChains(page).send_keys(Keys.TAB).perform()
        tag, style = run(page, outline)
        reached.add(tag)
        if tag == "INPUT" and run(page, "return document.activeElement.type") == "radio":
            # hidden below its label, which shows the focus
            style = run(page, "return getComputedStyle(document.activeElement.nextElementSibling).outlineStyle")
        assert style == "solid" or tag == "BODY"
    assert {"A", "BUTTON", "INPUT"} <= reached


def test_open_panels_stay_open_in_another_notation(page: Any) -> None:
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "Z1")
    press(line, "ENTER")
    run(page, "document.querySelector('input[value=column]').click()")
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "Z1")
    assert line.get_dom_attribute("aria-expanded") == "true"
    assert "(16, 32)" in page.find_element("id", line.get_dom_attribute("aria-controls")).text


def test_a_transposed_array_is_drawn_transposed(page: Any) -> None:
    script = """const line = [...document.querySelectorAll("#lines button.line")].find(x => x.dataset.target === "Z1");
        if (line.getAttribute("aria-expanded") !== "true") line.click();
        const c = document.querySelector(`#${line.getAttribute("aria-controls")} .result canvas`);
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        return [...Array(c.height).keys()].map(i => [...Array(c.width).keys()].map(j => d[4 * (i * c.width + j)]))"""
    upright = run(page, script)
    run(page, "document.querySelector('input[value=column]').click()")
    assert (len(upright), len(upright[0])) == (32, 16)
    assert run(page, script) == [list(column) for column in zip(*upright, strict=True)]


def test_latex_is_copied(page: Any) -> None:
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "Z1")
    press(line, "ENTER")
    run(page, "window.copied = ''; navigator.clipboard.writeText = async t => { window.copied = t; }")
    panel = page.find_element("id", line.get_dom_attribute("aria-controls"))
    press(next(b for b in panel.find_elements("tag name", "button") if b.text == "Copy LaTeX"), "ENTER")
    assert run(page, "return window.copied") == "Z^{(1)} = A^{(0)} \\, W^{(1)} + b^{(1)}"


def test_curves_are_read_with_pointer_and_keys(page: Any, written: Written) -> None:
    chart = page.find_element("css selector", ".chart svg")
    run(page, "arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", chart)
    press(chart, "HOME")
    legend = page.find_element("css selector", ".chart .legend")
    first = written.net.history[0]  # type: ignore[index]
    assert "epoch 1" in legend.text and f"{first.cost:.4g}" in legend.text
    press(chart, "ARROW_RIGHT")
    assert "epoch 2" in legend.text
    move = """const b = arguments[0].getBoundingClientRect();
        arguments[0].dispatchEvent(new PointerEvent("pointermove", {clientX: b.right, clientY: b.top + 9}))"""
    run(page, move, chart)
    assert "epoch 3" in legend.text
    titles = [e.text for e in page.find_elements("css selector", ".chart figcaption")]
    assert titles[:2] == ["Cost", "Accuracy"] and "Gradients: ‖∂J/∂W‖" in titles


@pytest.mark.parametrize(
    "width", [320, pytest.param(768, marks=pytest.mark.long), pytest.param(1280, marks=pytest.mark.long)]
)
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    size(page, width, 700)
    page.refresh()
    for name in ("row", "index", "numpy"):
        run(page, "document.querySelector(`input[value=${arguments[0]}]`).click()", name)
        for line in lines(page)[:12]:
            run(page, "arguments[0].click()", line)
        assert run(page, "return document.documentElement.scrollWidth") <= width
        # Broad pictures are scrolled within a frame of their own.
        seen = "main section, canvas, .chart svg, .chart .scroll, .picture .broad, .picture > img, .command code"
        wide = run(page, f"return [...document.querySelectorAll('{seen}')]"
                         ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).length")  # fmt: skip
        assert wide == 0


def test_dark_and_light(page: Any) -> None:
    def paper() -> str:
        return str(run(page, "return getComputedStyle(document.querySelector('section')).backgroundColor"))

    def picture() -> str:
        return str(
            run(page, "return [...document.querySelectorAll('.picture img')].find(e => e.offsetWidth).className")
        )

    assert paper() == "rgb(255, 255, 255)" and picture() == "for-light"
    theme(page, "dark")
    dark = paper()
    assert dark != "rgb(255, 255, 255)" and picture() == "for-dark"
    press(page.find_element("id", "theme"), "ENTER")
    assert paper() == "rgb(255, 255, 255)" and picture() == "for-light"
    press(page.find_element("id", "theme"), "ENTER")
    assert paper() == dark


CONTRAST = """
const parse = c => (c.match(/[\\d.]+/g) || []).map(v => c.startsWith("color(srgb") ? 255 * v : +v);
const light = ([r, g, b]) => { const f = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
  if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
const poor = [];
for (const e of document.querySelectorAll("body *")) {
  if (!e.offsetWidth || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
  if (e.closest("script, style, .hidden, .skip")) continue;
  const s = getComputedStyle(e), a = light(parse(s.color)), b = light(behind(e));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(s.fontSize);
  const least = size >= 24 || (size >= 18.66 && s.fontWeight >= 700) ? 3 : 4.5;
  if (ratio < least) poor.push([e.className, e.textContent.slice(0, 30), ratio]);
}
return poor;
"""


@pytest.mark.parametrize("colours", [pytest.param("light", marks=pytest.mark.long), "dark"])
def test_contrast(page: Any, colours: str) -> None:
    theme(page, colours)
    press(lines(page)[1], "ENTER")
    assert run(page, CONTRAST) == []


def test_printing(page: Any, tmp_path: Path) -> None:
    theme(page, "dark", media="print")
    hidden = run(
        page, "return ['.sections', '#theme', '.notations', '.skip'].filter(s => document.querySelector(s).offsetWidth)"
    )
    assert hidden == []
    assert (
        run(page, "return getComputedStyle(document.querySelector('section')).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert run(page, "return [...document.querySelectorAll('.for-dark')].some(e => e.offsetWidth)") is False
    printed = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF") and len(printed) > 20_000


def test_on_paper_nothing_lies_on_a_formula(page: Any) -> None:
    """The narrow page of a printer: a shape goes below a formula that is too long, and an open line may be parted."""
    size(page, 700, 990)
    theme(page, "dark", media="print")
    run(page, "document.querySelector('input[value=index]').click()")
    script = """return [...document.querySelectorAll("#lines .line")].filter(line => {
        const [a, b] = [".formula > *", ".shape"].map(s => line.querySelector(s).getBoundingClientRect());
        return b.width && a.right > b.left && a.bottom > b.top && b.bottom > a.top; }).length"""
    assert run(page, script) == 0
    assert run(page, "return getComputedStyle(document.querySelector('.lines > li')).breakInside") == "auto"
    assert run(page, CONTRAST) == []


def test_the_outcome_of_the_check_is_seen_on_a_phone(page: Any) -> None:
    size(page, 390, 800)
    region = page.find_element("css selector", "#check .scroll")
    assert run(page, "return arguments[0].scrollWidth - arguments[0].clientWidth", region) <= 0


@pytest.mark.long
def test_one_epoch_is_seen(browser: Any, written: Written, tmp_path: Path) -> None:
    import chainrule as cr

    once = cr.History(list(written.net.history or ())[:1])
    path = written.net.report(tmp_path / "once.html", written.X, written.y, history=once)
    browser.get(path.as_uri())
    dots = browser.find_elements("css selector", ".chart circle.point")
    assert [dot.is_displayed() for dot in dots] == [True] * 3  # cost, of validation too, and accuracy
    chart = browser.find_element("css selector", ".chart svg").rect
    assert all(chart["x"] < dot.rect["x"] < chart["x"] + chart["width"] for dot in dots[:2])


def test_it_can_be_read_without_scripts(browser: Any, written: Written) -> None:
    size(browser, 1280, 900)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(written.path.as_uri())
        assert len(browser.find_elements("css selector", "#lines math")) > 15
        assert "gradients by Z and A are those of the sum" in browser.find_element("id", "notation-says").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
