"""The cheat sheet: one page as SVG, its formulas from the package itself.

python docs/_ext/cheatsheet.py        writes docs/images/cheatsheet.svg; a test says when it is to be written again
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

import chainrule as cr
from chainrule.notation import notation_names

PAGE = Path(__file__).parents[1] / "images" / "cheatsheet.svg"
WIDTH, HEIGHT = 1123, 794
"""A4 across, in points of 1/96 inch."""
LINE = 14.4
COLUMNS = (28, 366, 722)
"""Where the columns begin."""

NETWORK = """\
net = cr.Network(784, [cr.Dense(256, "tanh"),
    cr.Dense(10, "softmax")], "cross_entropy")
net.fit(X, y, epochs=20)
net.predict(new)         # (m, 10)
net.gradients(X, y)      # {"W1": ..., "b1": ...}
net.check(X, y)          # against differences
net.trace(X, y)          # every number of a step
net.show("column")       # in another notation
net.program.steps("dW1") # how it comes about
net.report("r.html", X, y)
net.save("n.safetensors"); cr.Network.load(...)"""
TABLE = """\
model = cr.fit_table("t.csv", target="price")
model.evaluate("test.csv")
model.predict("new.csv")
model.feature_importances_
model.save("runs/t");  cr.load_run("runs/t")"""
COMMANDS = """\
chainrule train t.csv --target price
chainrule evaluate runs/t test.csv
chainrule predict runs/t new.csv --out p.csv
chainrule derive --inputs 4 --notation column
chainrule derive --inputs 4 --steps dW1
chainrule check
chainrule names train"""
SYMBOLS = [
    ("m", "samples in the batch"),
    ("X, Y", "inputs (m, n₀), targets"),
    ("Z, A", "before and after the activation"),
    ("W, b", "weights (n, n'), biases (n',)"),
    ("L, J", "loss of a sample, cost of the batch"),
    ("dT", "gradient of J by T, in T's shape"),
    ("lr, t", "learning rate, number of the step"),
]
RULES = [
    ("T = L R", "dL = dT Rᵀ,  dR = Lᵀ dT"),
    ("T = Z + b", "db = Σ dT over the rows"),
    ("T = g(Z)", "dZ = dT g′(Z)"),
    ("T used twice", "dT = the sum of both"),
    ("rows of E at X", "dE = dT added into these rows"),
]
ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign")
LOSSES = ("squared_error", "absolute_error", "hinge")
PAIRS = (("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy"))
OPTIMIZERS = (
    ("SGD", cr.SGD()), ("SGD, momentum", cr.SGD(momentum=0.9)), ("Adagrad", cr.Adagrad()), ("RMSProp", cr.RMSProp()),
    ("Adam", cr.Adam()), ("AdamW", cr.AdamW()), ("Lion", cr.Lion()),
)  # fmt: skip


def equations(program: cr.Program) -> Iterator[str]:
    """Its equations as they print, without shapes and without the number of the only layer."""
    for line in str(program).splitlines():
        if line.startswith(" "):
            text = re.sub(r"   +\(.*$", "", line.strip()).replace("   over", " over")
            yield re.sub(r"(?<![a-z])((?:[A-Z]_|d)?[A-Z])1(?![0-9A-Za-z])", r"\1", text)


def of_network(*layers: cr.Layer, loss: str = "squared_error", optimizer: cr.Optimizer | None = None) -> list[str]:
    """The equations of a network of these layers."""
    return list(equations(cr.derive(cr.NetworkSpec(2, layers, loss), optimizer=optimizer)))


def starting(lines: list[str], *beginnings: str) -> list[str]:
    """Those that begin so."""
    return [line for line in lines if line.startswith(beginnings)]


SECOND = re.compile(r"\s*(Z⁽²⁾|Z\^\[2\]|z_\{j,i\}\^\[2\]|z₂|Z2) = ")
"""Begins the line of the second layer's Z in any notation."""


class Sheet:
    """Text set in columns."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.x, self.y = 0.0, 0.0

    def column(self, k: int) -> None:
        """Goes on at the top of a column."""
        self.x, self.y = COLUMNS[k], 74

    def heading(self, text: str) -> None:
        """A heading, with room above it."""
        self.y += 9
        self._text(text, self.x, "h")
        self.y += 3

    def line(self, text: str, name: str = "", indent: float = 0) -> None:
        """A line of code or of a formula; after a name in a column of its own where there is one."""
        if name:
            self._text(name, self.x, "n", step=False)
        self._text(text, self.x + (indent if name else 0), "c")

    def _text(self, text: str, x: float, kind: str, *, step: bool = True) -> None:
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{self.y:g}">{escape(text, quote=False)}</text>')
        self.y += LINE if step else 0


def svg() -> str:
    """The page."""
    sheet = Sheet()
    sheet.column(0)
    sheet.heading("A network")
    for line in NETWORK.splitlines():
        sheet.line(line)
    sheet.heading("A table")
    for line in TABLE.splitlines():
        sheet.line(line)
    sheet.heading("The command")
    for line in COMMANDS.splitlines():
        sheet.line(line)
    sheet.heading("Symbols")
    for name, text in SYMBOLS:
        sheet.line(text, name, 62)
    sheet.heading("Rules of the chain")
    for name, text in RULES:
        sheet.line(text, name, 112)
    sheet.column(1)
    sheet.heading("Derived: tanh, then softmax with cross entropy")
    spec = cr.NetworkSpec(4, [cr.Dense(3, "tanh"), cr.Dense(2, "softmax")], "cross_entropy")
    derived = [re.sub(r"   +", "   ", line.strip()) for line in str(cr.derive(spec)).splitlines() if line[:1] == " "]
    shown = ("Z1", "A1", "Z2", "J", "dZ2", "dW2", "db2", "dA1", "dZ1", "dW1", "db1", "dX")
    for line in derived:
        if line.startswith(tuple(f"{name} = " for name in shown)):
            equation, _, shape = line.rpartition("   ")
            sheet.line(equation, " ")
            sheet.y -= LINE
            sheet.x += 250
            sheet.line(shape)
            sheet.x -= 250
    sheet.heading("Activations")
    for name in ACTIVATIONS:
        for line in starting(of_network(cr.Dense(2, name), cr.Dense(1)), "A = ", "dZ = "):
            sheet.line(line, name if line.startswith("A") else " ", 82)
    sheet.heading("Losses, and activations that go with them")
    for name in LOSSES:
        for line in starting(of_network(cr.Dense(1), loss=name), "L = ", "dZ = "):
            sheet.line(line.replace("Z -", "Ŷ -").replace("Y Z", "Y Ŷ"), name if line[0] == "L" else " ", 104)
    for activation, name in PAIRS:
        units = 2 if activation == "softmax" else 1
        for line in starting(of_network(cr.Dense(units, activation), loss=name), "dZ = "):
            sheet.line(line, f"{name} with {activation}", 232)
    sheet.column(2)
    sheet.heading("Optimizers")
    for name, optimizer in OPTIMIZERS:
        sheet.line("", name)
        for line in of_network(cr.Dense(1), optimizer=optimizer):
            if re.match(r"(W|[A-Z]_W) := |(step_size|root) = ", line):
                sheet.line(line, " ", 14)
        sheet.y += 2
    sheet.heading("Schedules of the learning rate")
    for line in ("Constant, StepDecay, ExponentialDecay, Cosine,", "OneCycle, InverseScaling, OnPlateau"):
        sheet.line(line)
    sheet.heading("Notations")
    program = cr.derive(cr.NetworkSpec(4, [cr.Dense(3, "tanh"), cr.Dense(2, "tanh"), cr.Dense(1)], "squared_error"))
    for name in notation_names():
        (line, *_) = [line.strip() for line in program.show(name).splitlines() if SECOND.match(line)]
        sheet.line(re.sub(r" {2,}.*$", "", line), name, 58)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="10">\n'
        "<title>chainrule: the cheat sheet</title>\n"
        "<style>.t{font:600 22px sans-serif}.s{font:11px sans-serif;fill:#555}.h{font:600 12px sans-serif;fill:#1f5fa8}"
        ".c,.n{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}.n{fill:#a03c14}</style>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
        '<text class="t" x="28" y="44">chainrule</text>\n'
        f'<text class="s" x="152" y="43">{cr.__version__} · import chainrule as cr · samples are rows</text>\n'
        + "\n".join(sheet.parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    PAGE.write_text(svg(), encoding="utf-8")
