"""A program as JSON: equations as data, to be kept, sent and compared.  docs/MODEL_FORMAT.md has it in full.

    program    ::= {"format": "program 1", "symbols": [symbol, ...], "given": [name, ...], section: [equation, ...]}
    symbol     ::= {"name", "letter", "shape", "role", ...}                stands after the symbols that it is of
    equation   ::= {"target": name, "op", the operation's fields, "operands": [name, ...], "rule", "through", "layer"}
    expression ::= [part, ...]                                             the last is the whole; each part stands once
    part       ::= variable | number | [function, place, ...]              places of parts before it, from 0

What has its usual value is left out.  The same program is the same text, which is put together here: `json` takes its
time to load, and a fit needs no more than the digest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Iterable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

from chainrule.program.op import Op
from chainrule.program.scalar import Apply, Constant, Expression, Reduction, Variable, children
from chainrule.program.symbol import Symbol

if TYPE_CHECKING:  # a program writes itself with this
    from chainrule.program.equation import Equation, Program

KIND, VERSION = "program", 1
"""Of the format, "program 1"."""
CONSTANT = "constant"
"""A part that is a number for which JSON has no word: ["constant", "inf"]."""
REDUCTION = "reduction"
"""A part that is a sum, mean or maximum: ["reduction", kind, over, place]."""


def to_json(program: Program) -> str:
    """The program as text, in ASCII, with a line for each symbol and each equation."""
    symbols = SymbolLines()
    names, name = symbols.names, symbols.name
    lines = {"given": names(program.given)}
    for section, equations in program.sections():
        lines[section] = _lines([_equation(equation, symbols) for equation in equations])
    lines["prediction"] = name(program.prediction)
    lines["objective"] = "null" if program.objective is None else name(program.objective)
    lines["gradients"] = f"[{', '.join([names(pair) for pair in program.gradients])}]"
    lines["outputs"] = names(program.outputs)
    lines["activations"] = f"[{', '.join([names(pair) for pair in program.activations])}]"
    lines["divisor"] = "null" if program.divisor is None else _expression(program.divisor)
    lines = {"format": _text(f"{KIND} {VERSION}"), "symbols": _lines(symbols.lines), **lines}
    return "{\n" + ",\n".join([f'  "{key}": {text}' for key, text in lines.items()]) + "\n}\n"


def digest(program: Program) -> str:
    """SHA-256 of the program's JSON, in hexadecimal: the same in every process."""
    import hashlib  # what a program that is only looked at does not need

    return hashlib.sha256(to_json(program).encode("ascii")).hexdigest()


def _lines(records: list[str]) -> str:
    return "[\n    " + ",\n    ".join(records) + "\n  ]" if records else "[]"


class SymbolLines:
    """The symbols of a text, each once, and what they are called there."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        """A symbol's each."""
        self._taken: set[str] = set()
        self._called: dict[Symbol, str] = {}
        self._met: dict[int, str] = {}
        """The same by identity, which is quicker than to compare: the program holds them all."""

    def names(self, symbols: Iterable[Symbol]) -> str:
        """A list of what they are called."""
        return f"[{', '.join([self.name(s) for s in symbols])}]"

    def name(self, symbol: Symbol) -> str:
        """What the symbol is called, as JSON; a new one is written down, after those that it is of."""
        if id(symbol) in self._met:
            return self._met[id(symbol)]
        waiting = [symbol]
        while waiting:
            last = waiting[-1]
            new = [] if last in self._called else [s for s in last.of if s not in self._called]
            waiting += reversed(new)
            if not new:
                waiting.pop()
                if last not in self._called:
                    self._write(last)
        self._met[id(symbol)] = self._called[symbol]
        return self._called[symbol]

    def _write(self, symbol: Symbol) -> None:
        name = free_name(symbol, self._taken)
        self._taken.add(name)
        self._called[symbol] = _text(name)
        shape = ", ".join([_text(d) if isinstance(d, str) else str(int(d)) for d in symbol.shape])
        line = [f'"name": {_text(name)}, "letter": {_text(symbol.letter)}, "shape": [{shape}], "role": "{symbol.role}"']
        if symbol.integers:
            line.append('"integers": true')
        if symbol.layer is not None:
            line.append(f'"layer": [{symbol.layer.number}, {symbol.layer.repeat}]')
        if symbol.mark:
            line.append(f'"mark": {_text(symbol.mark)}')
        if symbol.of:
            line.append(f'"of": {self.names(symbol.of)}')
        if symbol.how:
            line.append(f'"how": "{symbol.how}"')
        if symbol.copy != 1:
            line.append(f'"copy": {symbol.copy}')
        if symbol.penalised:
            line.append('"penalised": true')
        self.lines.append(f"{{{', '.join(line)}}}")


def free_name(symbol: Symbol, taken: Container[str]) -> str:
    """What a text calls a symbol: its name, with a number where another symbol is called so already."""
    name, count = symbol.name, 1
    while name in taken:
        count += 1
        name = f"{symbol.name} #{count}"
    return name


def _equation(equation: Equation, symbols: SymbolLines) -> str:
    operands = symbols.names(equation.operands)  # they are written down before what is made of them
    line = [f'"target": {symbols.name(equation.target)}, "op": "{type(equation.op).__name__}"']
    line += [f'"{name}": {text}' for name, text in _settings(equation.op)]
    line.append(f'"operands": {operands}')
    if equation.rule:
        line.append(f'"rule": {_text(equation.rule)}')
    if equation.through:
        line.append(f'"through": {symbols.names(equation.through)}')
    if equation.layer is not None:
        line.append(f'"layer": {equation.layer}')
    return f"{{{', '.join(line)}}}"


def _settings(op: Op) -> list[tuple[str, str]]:
    """(name, value as JSON) of the operation's fields."""
    settings = []
    for field in fields(op):
        value = getattr(op, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if isinstance(value, Expression):
            settings.append((field.name, _expression(value)))
        elif isinstance(value, str):
            settings.append((field.name, _text(value)))
        elif isinstance(value, tuple):
            settings.append((field.name, f"[{', '.join(map(str, value))}]"))
        elif value is None:
            settings.append((field.name, "null"))
        else:
            text = "true" if value is True else repr(float(value)) if isinstance(value, float) else str(int(value))
            settings.append((field.name, text))
    return settings


def _expression(expression: Expression) -> str:
    """The parts, each once and after those that it is made of.

    Parts are the same where they are written alike, whichever objects they are; 0 and -0 are not.
    """
    places: dict[str, int] = {}
    """Of a part's text."""
    place: dict[int, int] = {}
    """Of a part, by identity."""
    waiting: list[tuple[Expression, bool]] = [(expression, False)]
    while waiting:
        part, opened = waiting.pop()
        if id(part) in place:
            continue
        if isinstance(part, Apply | Reduction) and not opened:
            waiting.append((part, True))
            waiting += [(x, False) for x in reversed(children(part))]
            continue
        if isinstance(part, Apply):
            text = f'["{part.function}", {", ".join([str(place[id(x)]) for x in part.arguments])}]'
        elif isinstance(part, Variable):
            text = _text(part.name)
        elif isinstance(part, Constant):
            value = float(part.value)
            text = repr(value) if math.isfinite(value) else f'["{CONSTANT}", "{value!r}"]'
        else:
            assert isinstance(part, Reduction)
            text = f'["{REDUCTION}", "{part.kind}", "{part.over}", {place[id(part.argument)]}]'
        place[id(part)] = places.setdefault(text, len(places))
    return f"[{', '.join(places)}]"


@functools.lru_cache(4096)
def _text(text: str) -> str:
    """A text as JSON."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    from json.encoder import encode_basestring_ascii

    return encode_basestring_ascii(text)
