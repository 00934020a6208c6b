"""What a reader of a derivation gets: a line at a time with its texts (`views`), or the whole (`show`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from chainrule.errors import SpecError, unknown_name
from chainrule.notation import latex, mathml, unicode
from chainrule.notation.components import Components
from chainrule.notation.javascript import javascript
from chainrule.notation.lines import Line, lines
from chainrule.notation.matrices import Matrices
from chainrule.notation.names import Names
from chainrule.notation.reasons import Reasons
from chainrule.notation.rewrite import named_penalties
from chainrule.notation.size import writable
from chainrule.notation.source import source, source_lines
from chainrule.notation.tables import FORMATS, MATHEMATICAL, ROW, SCRIPT, SOURCE, Notation, notation_names
from chainrule.notation.tree import Relation, Typesetter
from chainrule.notation.typeset import Look
from chainrule.program.equation import Program
from chainrule.program.precision import told
from chainrule.program.symbol import Shape, shape_text
from chainrule.program.text import number
from chainrule.rules.mean_at_weights import mean_at_weights

Mean = Literal["weights", "cost"]
SUMMED = "gradients by Z and A are those of the sum of the losses; 1/m comes in with the gradients by the parameters"
"""What a derivation says that has 1/m at the parameters."""
HEADINGS = {"forward": "Forward", "cost": "Cost", "backward": "Backward", "update": "Update"}


@dataclass(frozen=True)
class EquationView:
    """One line of a derivation in one notation."""

    section: str
    """forward | cost | backward | update"""
    targets: tuple[str, ...]
    """The names of the program's symbols that the line defines, its own last; none for a line that only says what a
    sign means."""
    operands: tuple[str, ...]
    """The names of those that it reads."""
    unicode: str
    """The line as text."""
    latex: str
    """The line as LaTeX."""
    mathml: str
    """The line as MathML."""
    shape: str
    """Of its value, in this notation's orientation."""
    why: str
    """The rule and what it goes through."""
    relation: Relation | None = None
    """The formula itself; of source code that of its row notation."""


@dataclass(frozen=True)
class Derivation:
    """A program as a notation has it."""

    program: Program
    """The equations, arranged for it."""
    penalties: Mapping[str, float]
    """The strengths of the penalties, by what they are called."""
    views: tuple[EquationView, ...]
    """The lines."""
    summed: bool = False
    """Whether gradients by values are those of the sum of the losses, and 1/m stands at the parameters."""


def check_notation(name: str, more: tuple[str, ...] = ()) -> str:
    """The name itself.  more: of what is not written line by line.  Raises SpecError with the known ones."""
    known = (*notation_names(), *more)
    if name not in known:
        raise SpecError(unknown_name("notation", str(name), known))
    return name


def check_format(name: str) -> str:
    """The name itself.  Raises SpecError with the known ones."""
    if name not in FORMATS:
        raise SpecError(unknown_name("format", str(name), FORMATS))
    return name


def views(program: Program, notation: str = "row", *, mean_at: Mean | None = None) -> list[EquationView]:
    """Every line of the derivation.  mean_at: where 1/m stands (None: as the notation's text has it).

    Raises SpecError for a notation or a place that is not known, FormulaError for a program too large to be written.
    """
    return list(derivation(program, notation, mean_at=mean_at).views)


def derivation(program: Program, notation: str = "row", *, mean_at: Mean | None = None) -> Derivation:
    """The arranged program and its lines (see `views`)."""
    check_notation(notation)
    if mean_at not in (None, "weights", "cost"):
        raise SpecError(unknown_name("place of the mean", str(mean_at), ("weights", "cost")))
    if notation == SOURCE:
        return Derivation(program, {}, tuple(_source_views(program)))
    table = MATHEMATICAL[notation]
    arranged, penalties = named_penalties(writable(program))
    summed = (mean_at or table.mean) == "weights" and arranged.divisor is not None and bool(arranged.backward)
    if summed:
        arranged = mean_at_weights(arranged)
    return Derivation(arranged, penalties, tuple(_views(arranged, table)), summed)


def _views(program: Program, table: Notation) -> list[EquationView]:
    writer = Components(program, table) if table.components else Matrices(program, table)
    grouped = lines(program, jacobians=table.components)
    names = Names(program, table)
    if isinstance(writer, Components):
        writer.shown = frozenset(line.target.name for line in grouped)
    views: list[EquationView] = []
    reasons, texts = Reasons(program), dict[str, str]()
    x = names.inputs
    if x is not None and not x.integers:
        shape = shape_text(_shape(names, x.name))
        views.append(_view(table, "forward", (), (x.name,), writer.inputs(x), shape, "the input"))
    for line in grouped:
        if views and line.section != "forward" and views[-1].section == "forward":
            views.append(_output(table, program, writer, names))
        *before, own = writer.relations(line)
        views += [_view(table, line.section, (), (), relation, "", "what the sign stands for") for relation in before]
        shape = shape_text(_shape(names, line.target.name))
        why = reasons.reason(line.section, line.equation, texts)
        views.append(_view(table, line.section, line.targets, line.operands, own, shape, why))
        short = _text(table, Relation(own.target, own.sides[:1], own.sign))
        texts.update(dict.fromkeys(line.targets, short))
    if views and views[-1].section == "forward":
        views.append(_output(table, program, writer, names))
    return views


def _output(table: Notation, program: Program, writer: Matrices | Components, names: Names) -> EquationView:
    prediction = program.prediction
    shape = shape_text(_shape(names, prediction.name))
    return _view(table, "forward", (), (prediction.name,), writer.output(prediction), shape, "the prediction")


def _shape(names: Names, name: str) -> Shape:
    symbol = names.symbols[name]
    shape = tuple(names.notation.size if d == "m" else d for d in symbol.shape)
    return shape[::-1] if names.flipped(symbol) else shape


def _text(table: Notation, relation: Relation) -> str:
    return unicode.text(Typesetter(linear=True, sigmoid=table.sigmoid).relation(relation))


def _view(
    table: Notation,
    section: str,
    targets: tuple[str, ...],
    operands: tuple[str, ...],
    relation: Relation,
    shape: str,
    why: str,
) -> EquationView:
    flat: Look = Typesetter(linear=False, sigmoid=table.sigmoid).relation(relation)
    return EquationView(
        section,
        targets,
        operands,
        _text(table, relation),
        latex.text(flat),
        mathml.text(flat),
        shape,
        why,
        relation,
    )


def _source_views(program: Program) -> list[EquationView]:
    views = []
    reasons, texts = Reasons(program), dict[str, str]()
    by_target = {(section, e.target.name): e for section, part in program.sections() for e in part}
    writer = Matrices(program, ROW)
    for line in source_lines(program):
        texts.update(dict.fromkeys(line.targets, line.code.split("\n")[0]))
        html = f"<pre>{line.code.replace('&', '&amp;').replace('<', '&lt;')}</pre>"
        latex_text = rf"\mathtt{{{line.code}}}"
        equation = by_target[line.section, line.targets[-1]]
        why = reasons.reason(line.section, equation, texts)
        inside = tuple(by_target[line.section, name] for name in line.targets[:-1])
        *_, own = writer.relations(Line(line.section, equation, inside))
        views.append(
            EquationView(line.section, line.targets, line.operands, line.code, latex_text, html, line.shape, why, own)
        )
    return views


# --- the whole -----------------------------------------------------------------------------------------------------


def show(
    program: Program,
    notation: str = "row",
    format: str = "unicode",
    *,
    why: bool = False,
    mean_at: Mean | None = None,
) -> str:
    """The whole derivation as text: forward propagation, cost, backward propagation, update.

    notation: row, column, index, layer, batch, or source: numpy, javascript.  format: unicode, latex, markdown, mathml.
    why: with the rule behind each line.  mean_at: "weights" or "cost", where 1/m stands.  Raises SpecError with what is
    known, FormulaError for a program too large to be written.
    """
    check_notation(notation, (SCRIPT,))
    check_format(format)
    if notation in (SOURCE, SCRIPT):
        language, code = ("python", source(program)) if notation == SOURCE else (SCRIPT, javascript(program))
        return f"```{language}\n{code}```\n" if format == "markdown" else code
    arranged = derivation(program, notation, mean_at=mean_at)
    write = {"unicode": _unicode, "latex": _latex, "markdown": _markdown, "mathml": _mathml}[format]
    return write(MATHEMATICAL[notation], arranged.views, remarks(program, arranged), why)


def remarks(program: Program, arranged: Derivation) -> list[str]:
    """What a reader of the program's derivation must know besides its lines: the penalties' strengths, whose gradients
    stand on the way.
    """
    names, symbols = Names(arranged.program, ROW), arranged.program.symbols  # λ is λ in every notation
    said = [f"{unicode.text(names.leaf(symbols[n]).look)} = {number(value)}" for n, value in arranged.penalties.items()]
    if arranged.summed:
        said.append(SUMMED)
    if program.parts:
        said.append(told(program.parts))
    return said


def _sections(views: tuple[EquationView, ...]) -> list[tuple[str, list[EquationView]]]:
    by_section: dict[str, list[EquationView]] = {}
    for view in views:
        by_section.setdefault(view.section, []).append(view)
    return list(by_section.items())


def _unicode(table: Notation, views: tuple[EquationView, ...], remarks: list[str], why: bool) -> str:
    width = min(max((len(v.unicode) for v in views), default=0), 72)
    out = [f"{table.title}. {table.says}", *remarks]
    for section, part in _sections(views):
        out.append(section)
        for v in part:
            out.append(f"    {v.unicode:<{width}}   {v.shape}".rstrip())
            if why and v.why:
                out.append(f"        {v.why}")
    return "\n".join(out)


def _latex(table: Notation, views: tuple[EquationView, ...], remarks: list[str], why: bool) -> str:
    out = [f"% {table.title}", *(f"% {r}" for r in remarks)]
    for section, part in _sections(views):
        out.append(f"\n% {section}")
        for v in part:
            if why and v.why:
                out.append(f"% {v.why}")
            out.append(f"\\[ {v.latex} \\]")
    return "\n".join(out) + "\n"


def _markdown(table: Notation, views: tuple[EquationView, ...], remarks: list[str], why: bool) -> str:
    out = [f"# {table.title}", "", table.says, *(f"\n{r}" for r in remarks)]
    for section, part in _sections(views):
        out += ["", f"## {HEADINGS[section]}"]
        for v in part:
            out += ["", f"$${v.latex}$$"]
            if why and v.why:
                out += ["", f"*{v.why}*"]
    return "\n".join(out) + "\n"


def _mathml(table: Notation, views: tuple[EquationView, ...], remarks: list[str], why: bool) -> str:
    out = ['<section class="derivation">', f"<p>{table.title}. {table.says}</p>", *(f"<p>{r}</p>" for r in remarks)]
    for section, part in _sections(views):
        out.append(f"<h2>{HEADINGS[section]}</h2>")
        for v in part:
            reason = f"<p>{v.why.replace('&', '&amp;').replace('<', '&lt;')}</p>" if why and v.why else ""
            out.append(f"<div>{v.mathml}{reason}</div>")
    return "\n".join([*out, "</section>"]) + "\n"
