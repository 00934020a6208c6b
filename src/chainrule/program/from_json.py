"""A program from JSON: everything is looked at before it is believed, and the faults are told together.

First the text's form (`files/strict_json.py`), then every field's kind and range, then the laws of a program
(`verify`).  Depth and size are bounded, so that whoever reads the program afterwards may call itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, NoReturn, get_args

from chainrule.errors import DataError, ProgramError, expected, shorten, shown
from chainrule.files import strict_json
from chainrule.files.fields import (
    AnyValue,
    Flag,
    Kind,
    Listed,
    Maybe,
    Number,
    Object,
    Tagged,
    Text,
    Whole,
    check_format,
    within,
)
from chainrule.program.equation import SECTIONS, Equation, Program
from chainrule.program.op import OPERATIONS
from chainrule.program.precision import PARTS
from chainrule.program.scalar import FUNCTIONS, Apply, Constant, Expression, Over, Reduction, ReductionKind, Variable
from chainrule.program.symbol import BATCH, How, Label, Role, Symbol
from chainrule.program.to_json import CONSTANT, KIND, REDUCTION, VERSION, free_name
from chainrule.program.verify import verify

DEEPEST = 300
"""Levels of an expression."""
MOST = 100_000
"""Symbols; equations of a section; parts of an expression."""
NAMED = 100
"""Symbols that one symbol's name is made of."""
LONGEST_NAME = 1000
"""Characters of a symbol's name."""
TOLD = 10
"""Faults in a message, at most; it has no more than 500 characters."""

_NAME = Text(longest=LONGEST_NAME + 10)
_WORD = Text(longest=200)
_SIZE = Whole(1, 2**48)


class _Dimension:
    """m, or a whole number."""

    def read(self, value: object, place: str) -> int | str:
        return BATCH if value == BATCH else _SIZE.read(value, place)


_SYMBOL = Object(
    {
        "name": _NAME,
        "letter": _WORD,
        "shape": Listed(_Dimension(), 0, 2),
        "role": Text(get_args(Role), what="role"),
        "integers": Flag(),
        "layer": Listed(Whole(0, 2**31), 2, 2),
        "mark": _WORD,
        "of": Listed(_NAME, 1, 2),
        "how": Text(get_args(How), what="way to follow"),
        "copy": Whole(1, 2**31),
        "penalised": Flag(),
    },
    absent={"integers": False, "layer": None, "mark": "", "of": (), "how": "", "copy": 1, "penalised": False},
)
_SETTINGS: Mapping[str, Kind] = {
    "transpose_left": Flag(),
    "transpose_right": Flag(),
    "kind": Text(("sum", "max"), what="kind of reduction"),
    "over": Text(get_args(Over), what="axis"),
    "rows": _SIZE,
    "columns": _SIZE,
    "classes": _SIZE,
    "rate": Maybe(Number(least=0, below=1)),
    "stream": Whole(0, 2**32 - 1),
    "starts": Listed(Whole(0, 2**31), 1, MOST),
    "width": _SIZE,
    "start": Whole(0, 2**31),
    "column": Whole(0, 2**31),
    "padding": Whole(0, 2**48),
    "count": _SIZE,
    "groups": _SIZE,
    "shared": Flag(),
    "times": _SIZE,
    "within": Flag(),
    "parts": Whole(0, max(PARTS)),
}
"""What each field of the operations may be, but for `expression`."""
_INFINITE = Text(("inf", "-inf", "nan"), what="number")
_KINDS = Text(get_args(ReductionKind), what="kind of reduction")
_FUNCTIONS = Text(tuple(FUNCTIONS), what="function")


def program_from_json(said: str | bytes | Mapping[str, Any]) -> Program:
    """The program that `to_json` wrote, as text or as `json.loads` reads that.

    Raises DataError: it is no JSON, of another format, or a field is not what it must be; each fault has its place
    ("forward[3].op").  Raises ProgramError where the program breaks its laws.
    """
    version = VERSION
    try:
        text = said if isinstance(said, str | bytes) else strict_json.dumps(said)
        value = strict_json.loads(text, KIND)
        if isinstance(value, dict) and "format" in value:
            version = _version(value["format"])
        if version <= VERSION:
            return _Reader(value).program()
    except DataError as fault:
        reason = str(fault).removeprefix(f"{KIND}: ")
        raise DataError(shorten(f"This is not a program as chainrule saves it: {reason}")) from None
    except ProgramError as fault:
        raise ProgramError(shorten(str(fault))) from None
    _newer(version)


def _version(said: object) -> int:
    """1 of "program 1"."""
    match = re.fullmatch(rf"{KIND} ([1-9][0-9]{{0,8}})", said, re.ASCII) if isinstance(said, str) else None
    if match is None:
        raise DataError(expected("format", f'"{KIND} {VERSION}"', said))
    return int(match[1])


def _newer(version: int) -> NoReturn:
    check_format(version, KIND, VERSION, "a program")
    raise AssertionError("a format that is known")


class _Reader:
    """One text on its way to a program."""

    def __init__(self, value: object) -> None:
        names = ["format", "symbols", "given", *SECTIONS]
        names += ["prediction", "objective", "gradients", "outputs", "activations", "divisor"]
        self.values = Object(dict.fromkeys(names, AnyValue())).read(value, KIND)
        """The text's fields."""
        self.symbols: dict[str, Symbol] = {}
        """By what the text calls them."""
        self.faults: list[str] = []

    def program(self) -> Program:
        """All of it."""
        for name, symbol in self.records("symbols", SymbolRecord(self.symbols)):
            self.symbols[name] = symbol
        self.tell()
        called, expression = Called(self.symbols), Parts()
        equation = EquationRecord(called, expression)
        sections: dict[str, Any] = {name: tuple(self.records(name, equation)) for name in SECTIONS}
        many, pairs = Listed(called, most=MOST), Listed(Listed(called, 2, 2), most=MOST)
        kinds: dict[str, Kind] = {"given": many, "prediction": called, "objective": Maybe(called), "outputs": many}
        kinds |= {"gradients": pairs, "activations": pairs, "divisor": Maybe(expression)}
        others = {name: self.read(kind, self.values[name], name) for name, kind in kinds.items()}
        self.tell()
        return verify(Program(**sections, **others), pruned=True)

    def records(self, name: str, kind: Kind) -> Iterator[Any]:
        """The sound members of a list."""
        for k, record in enumerate(self.read(Listed(AnyValue(), most=MOST), self.values[name], name) or ()):
            value = self.read(kind, record, f"{name}[{k}]")
            if value is not None:
                yield value

    def read(self, kind: Kind, value: object, place: str) -> Any:
        """What the kind makes of it, or None where something is wrong, which is kept to be told."""
        try:
            return kind.read(value, f"{KIND}: {place}")
        except DataError as fault:
            self.faults.append(str(fault).removeprefix(f"{KIND}: "))
            return None

    def tell(self) -> None:
        """Raises DataError if anything was wrong so far."""
        if self.faults:
            more = len(self.faults) - TOLD
            raise DataError("\n".join([*self.faults[:TOLD], *([f"and {more:,} more"] if more > 0 else [])]))


@dataclass(frozen=True)
class Called:
    """A symbol, by what the text calls it."""

    symbols: Mapping[str, Symbol]
    """Those that there are."""

    def read(self, value: object, place: str) -> Symbol:
        name = _NAME.read(value, place)
        if name not in self.symbols:
            raise DataError(f"{place}: there is no symbol {shown(name)}.")
        return self.symbols[name]


@dataclass(frozen=True)
class SymbolRecord:
    """A symbol as it is written down; read as (what the text calls it, the symbol)."""

    symbols: Mapping[str, Symbol]
    """Those that stand before it."""

    def read(self, value: object, place: str) -> tuple[str, Symbol]:
        record = _SYMBOL.read(value, place)
        name, how, layer = record.pop("name"), record["how"], record["layer"]
        record["of"] = tuple([Called(self.symbols).read(x, within(place, "of")) for x in record["of"]])
        if len(record["of"]) != {"": 0, "product": 2}.get(how, 1):
            raise DataError(f"{place}: how {shown(how)} does not go with being of {len(record['of'])} symbols.")
        record["layer"] = None if layer is None else Label(*layer)
        symbol = Symbol(**record)
        if _named(symbol) > NAMED or len(symbol.name) > LONGEST_NAME:
            raise DataError(f"{place}: its name is made of more than {NAMED} symbols or {LONGEST_NAME:,} characters.")
        written = free_name(symbol, self.symbols)
        if name != written:
            raise DataError(f"{place}: is called {shown(name)}, but what it says of itself makes it {shown(written)}.")
        return name, symbol


def _named(symbol: Symbol) -> int:
    """How many symbols its name is made of."""
    return 1 + sum(_named(s) for s in symbol.of)


class EquationRecord:
    """An equation as it is written down: what each operation says follows from its fields."""

    def __init__(self, called: Called, parts: Parts) -> None:
        operations = {}
        for op in OPERATIONS:
            kinds: dict[str, Kind] = {"target": called, "operands": Listed(called, most=MOST)}
            kinds |= {f.name: parts if f.name == "expression" else _SETTINGS[f.name] for f in fields(op)}
            kinds |= {"rule": Text(), "through": Listed(called, most=MOST), "layer": Whole(0, 2**31)}
            absent = {f.name: f.default for f in fields(op) if f.default is not MISSING}
            operations[op.__name__] = Object(kinds, {**absent, "rule": "", "through": (), "layer": None})
        self._kind = Tagged("op", operations, "operation")

    def read(self, value: object, place: str) -> Equation:
        """The equation.  Raises DataError."""
        name, record = self._kind.read(value, place)
        op = next(kind for kind in OPERATIONS if kind.__name__ == name)
        settings = {f.name: record.pop(f.name) for f in fields(op)}
        return Equation(op=op(**settings), **record)


class Parts:
    """An expression as the list of its parts."""

    def read(self, value: object, place: str) -> Expression:
        """The expression.  Raises DataError."""
        if not isinstance(value, list) or not 1 <= len(value) <= MOST:
            raise DataError(expected(place, f"a list of 1 to {MOST:,} parts", value))
        parts: list[Expression] = []
        depths: list[int] = []
        unused = set(range(len(value) - 1))
        for k, said in enumerate(value):
            part, under = _part(said, parts, f"{place}[{k}]")
            hash(part)  # known from the leaves up, however deep it is
            parts.append(part)
            depths.append(1 + max((depths[x] for x in under), default=0))
            unused.difference_update(under)
            if depths[k] > DEEPEST:
                raise DataError(f"{place}[{k}]: is nested more than {DEEPEST} levels deep.")
        if unused:
            raise DataError(f"{place}[{min(unused)}]: no part after it is made of it.")
        return parts[-1]


def _part(said: object, before: list[Expression], place: str) -> tuple[Expression, list[int]]:
    """One more part, and the places of those that it is made of."""
    if isinstance(said, str):
        return Variable(_NAME.read(said, place)), []
    if isinstance(said, int | float) and not isinstance(said, bool):
        return Constant(Number().read(said, place)), []
    if not isinstance(said, list) or not said:
        raise DataError(expected(place, "a variable, a number, or a function with the places of its arguments", said))
    function, *rest = said
    if function == CONSTANT and len(rest) == 1:
        return Constant(float(_INFINITE.read(rest[0], place))), []
    if function == REDUCTION and len(rest) == 3:
        kind: Any = _KINDS.read(rest[0], place)
        over = _SETTINGS["over"].read(rest[1], place)
        at = _place(rest[2], before, place)
        return Reduction(kind, over, before[at]), [at]
    name = _FUNCTIONS.read(function, place)
    if len(rest) != FUNCTIONS[name].arity:
        raise DataError(f"{place}: {name} takes {FUNCTIONS[name].arity} argument(s). Got {len(rest)}.")
    under = [_place(x, before, place) for x in rest]
    return Apply(name, tuple([before[x] for x in under])), under


def _place(said: object, before: list[Expression], place: str) -> int:
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < len(before):
        raise DataError(f"{place}: {shown(said)} is not the place of a part before it.")
    return said
