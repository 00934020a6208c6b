"""What moves on the page: its steps are the engine's, the slider, playing, the map of two inputs, drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_browser import lines, press, run
from written import Written

import chainrule as cr
from chainrule.glass.trace import trace
from chainrule.report import pictures, playing
from chainrule.report.playing import Player
from problems import in_turn

NETWORKS: dict[str, tuple[cr.Network, cr.Optimizer]] = {
    "relu and softmax": (cr.Network(6, [cr.Dense(9, "relu"), cr.Dense(3, "softmax")], "cross_entropy", l2=0.1),
                         cr.SGD(0.1)),
    "tanh and a number": (cr.Network(6, [cr.Dense(7, "tanh"), cr.Dense(1)], "squared_error", l1=0.01),
                          cr.SGD(0.1, momentum=0.9, nesterov=True)),
    "Adam": (cr.Network(6, [cr.Dense(8, "gelu"), cr.Dense(3, "softmax")], "cross_entropy"), cr.Adam(0.01)),
    "batch normalisation": (cr.Network(6, [cr.Dense(8, "relu"), cr.BatchNorm(), cr.Dense(1)],
                                       "absolute_error"), cr.AdamW(0.01, clip_norm=0.5)),
    "dropout": (cr.Network(6, [cr.Dense(8, "sigmoid"), cr.Dropout(0.4), cr.Dense(1, "sigmoid")],
                           "binary_cross_entropy"), cr.RMSProp(0.01)),
}  # fmt: skip
STEPS = """const [told, count] = arguments;
    const TYPES = { u1: Uint8Array, i4: Int32Array, f4: Float32Array };
    const read = (x) => Float64Array.from(
        new TYPES[x.type](Uint8Array.from(atob(x.data), (c) => c.charCodeAt(0)).buffer));
    const all = (arrays) => Object.fromEntries(Object.entries(arrays).map(([name, x]) => [name, read(x)]));
    const data = all(told.data), size = (shape) => shape.reduce((a, b) => a * b, 1);
    let stored = all(told.stops.at(-1).arrays);
    for (const [name, shape] of Object.entries(told.slots)) stored[name] = new Float64Array(size(shape));
    for (let t = 1; t <= count; t++) {
        const now = programs[0]({ ...data, ...told.settings, ...stored, t });
        for (const name of told.stored) stored[name] = now[name];
    }
    return Object.fromEntries(Object.entries(stored).map(([name, v]) => [name, Array.from(v)]));"""


def data_of(net: cr.Network) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20, 6))
    kind = net.spec.loss.name
    return X, np.arange(20) % 3 if kind == "cross_entropy" else np.arange(20) % 2 if "binary" in kind else X[:, :1]


@pytest.mark.parametrize("name", in_turn(list(NETWORKS), 0, every=4))
def test_three_steps_in_the_page_are_the_engines(browser: Any, name: str) -> None:
    net, optimizer = NETWORKS[name]
    X, y = data_of(net)
    first = net.trace(X, y, training=True, optimizer=optimizer, notation="numpy")
    player = Player(net, {"numpy": first}, None)
    found = run(browser, player.code + STEPS, player.told(), 3)
    given = {s.name: first[s.name] for s in first.program.given if s.name in first}
    for step in (1, 2, 3):
        given |= trace(first.program, {**given, "t": step}, np.dtype("float32")).updated
    stored = {s.name for s in first.program.stored}
    assert found.keys() == stored and any(np.abs(given[n] - first[n]).max() > 0.01 for n in net.parameters)
    for symbol in stored:
        # float32 against doubles: as close as one last digit of the largest after three steps
        size = np.abs(given[symbol]).max()
        np.testing.assert_allclose(np.ravel(given[symbol]), found[symbol], rtol=1e-5, atol=1e-5 * size, err_msg=symbol)


def value(page: Any, name: str, after: bool = False) -> np.ndarray:
    script = "const v = report.player.value(...arguments); return typeof v === 'number' ? [v] : Array.from(v)"
    return np.array(run(page, script, name, after))


def slide(page: Any, to: int) -> None:
    script = """const s = document.querySelector("#player input[type=range]");
        s.value = arguments[0]; s.dispatchEvent(new Event("input"))"""
    run(page, script, to)


def press_button(page: Any, says: str, within: str = "#player") -> None:
    buttons = page.find_elements("css selector", f"{within} button")
    press(next(b for b in buttons if b.text == says), "ENTER")


def test_the_numbers_of_every_line_are_those_of_the_step(page: Any, written: Written) -> None:
    step = written.net.trace(written.X[:32], written.y[:32], training=True, optimizer=written.optimizer, notation="row")
    script = """return arguments[0].map(([name, after]) => {
        const v = report.player.value(name, after); return typeof v === "number" ? [v] : Array.from(v); })"""
    all_of = {(name, False): step[name] for name in step} | {(name, True): v for name, v in step.updated.items()}
    for (name, _), expected, found in zip(all_of, all_of.values(), run(page, script, list(all_of)), strict=True):
        size = max(1e-6, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, np.ravel(expected), rtol=1e-4, atol=1e-5 * size, err_msg=name)


def test_the_slider_shows_the_numbers_of_each_step(page: Any, written: Written) -> None:
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "J")
    press(line, "ENTER")
    shown = f"#{line.get_dom_attribute('aria-controls')} .result .value"
    last = page.find_element("css selector", shown).text
    for place in (0, len(written.monitor.snapshots) // 2):
        slide(page, place)
        step, arrays = written.monitor.snapshots[place]
        told = page.find_element("css selector", "#player output").text
        assert ("before the first step" if step == 0 else f"after {step:,} steps") in told
        np.testing.assert_allclose(value(page, "W1"), np.ravel(arrays["W1"]), rtol=1e-6)
        then = written.net.__class__.from_spec(written.net.spec, engine="reference")
        then.overwrite(lambda own, arrays=arrays: [np.copyto(own[n], v) for n, v in arrays.items()] and None)
        cost = then.cost(written.X[:32], written.y[:32])
        text = page.find_element("css selector", shown).text
        assert float(text) == pytest.approx(cost, rel=1e-3) and text != last
    slider = page.find_element("css selector", "#steps input[type=range]")
    press(slider, "END")
    assert page.find_element("css selector", shown).text == last and "trained" in page.find_element("id", "steps").text


def test_stepping_playing_and_starting_again(page: Any) -> None:
    slide(page, 0)
    first, weights = value(page, "J")[0], value(page, "W1")
    after = value(page, "W1", True)
    press_button(page, "Step")
    np.testing.assert_array_equal(value(page, "W1"), after)
    assert value(page, "J")[0] < first
    press_button(page, "Play")
    run(page, "return new Promise(done => { const wait = () => report.player.value('J') < arguments[0] / 2 ? done()"
              " : requestAnimationFrame(wait); wait(); })", first)  # fmt: skip
    press_button(page, "Pause", "#steps")
    told = page.find_element("css selector", "#player output").text
    assert "before the first step, and " in told and value(page, "J")[0] < first / 2
    assert page.find_element("css selector", "#player .cost path").get_dom_attribute("d").count("L") > 3
    press_button(page, "Reset")
    np.testing.assert_array_equal(value(page, "W1"), weights)


def test_what_is_drawn_is_classified(page: Any, written: Written) -> None:
    pad = page.find_element("css selector", ".pad")
    says = page.find_element("css selector", "#player .verdict")
    assert says.text == "Draw something."
    right = 0
    for k in range(3):
        press_button(page, "Next sample")
        right += f"It says {written.net.predict(written.X[k : k + 1]).argmax()} " in says.text
    assert right == 3
    press_button(page, "Clear")
    script = """const [pad, strokes] = arguments, box = pad.getBoundingClientRect();
        strokes.forEach(([x, y], k) => pad.dispatchEvent(new PointerEvent(k ? "pointermove" : "pointerdown",
            {buttons: 1, bubbles: true, clientX: box.left + x * box.width, clientY: box.top + y * box.height})))"""
    run(page, "arguments[0].scrollIntoView({block: 'center'})", pad)
    run(page, script, pad, [[0.3, 0.1], [0.7, 0.1], [0.7, 0.9], [0.3, 0.9], [0.3, 0.1]])
    assert says.text.startswith("It says 0 (")
    bars = run(page, "return [...document.querySelectorAll('.bars b')].map(e => parseInt(e.textContent))")
    assert len(bars) == 10 and abs(sum(bars) - 100) <= 5 and bars[0] == max(bars)
    for key in ("DELETE", "ARROW_UP", "SPACE", "ARROW_DOWN", "SPACE"):  # by the keyboard
        press(pad, key)
    assert says.text != "Draw something." and not says.text.startswith("It says 0 (")


@pytest.mark.long
def test_the_map_of_two_inputs_changes(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = cr.Network(2, [cr.Dense(8, "tanh"), cr.Dense(1, "sigmoid")], "binary_cross_entropy", engine="reference")
    X = np.random.default_rng(0).normal(size=(60, 2))
    monkeypatch.setattr(pictures, "picture", lambda *_, **__: "")  # rendering is what takes time
    net.report(tmp_path / "r.html", X, (X[:, 0] * X[:, 1] > 0).astype(int), optimizer=cr.Adam(0.05))
    page.get((tmp_path / "r.html").as_uri())
    drawn = "return document.querySelector('.map').toDataURL()"
    first = run(page, drawn)
    for _ in range(3):
        press_button(page, "Step")
    assert run(page, drawn) != first
    run(page, "for (let k = 0; k < 400; k++) report.player.step()")
    press_button(page, "Step")
    net.overwrite(lambda own: [np.copyto(v, value(page, n).reshape(v.shape)) for n, v in own.items()] and None)
    low, high = X.min(axis=0), X.max(axis=0)
    colour = """const c = document.querySelector('.map'), [x, y] = arguments;
        return [...c.getContext('2d').getImageData(x * c.width, (1 - y) * c.height, 1, 1).data]"""
    for place in ((0.01, 0.01), (0.01, 0.99), (0.99, 0.01), (0.99, 0.99)):  # where no sample lies
        at = low - 0.08 * (high - low) + np.array(place) * 1.16 * (high - low)
        red, _, blue, _ = run(page, colour, *place)
        assert (red > blue) == (net.predict(at[None]).item() > 0.5)
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.long
def test_what_a_page_cannot_run_it_shows_as_it_is(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "LONGEST", 100)
    net, path = cr.Network(3, [cr.Dense(4, "tanh"), cr.Dense(2)], "squared_error"), tmp_path / "r.html"
    net.report(path, np.eye(3), np.ones((3, 2)))
    page.get(path.as_uri())
    line = next(x for x in lines(page) if x.get_dom_attribute("data-target") == "Z1")
    press(line, "ENTER")
    panel = page.find_element("id", line.get_dom_attribute("aria-controls"))
    assert len(panel.find_elements("css selector", "canvas")) == 4 and "zeros" in panel.text
    assert not page.find_elements("id", "player") and page.get_log("browser") == []
