"""Writing LLVM IR: modules and functions, printed as text while the program is walked.

Loops and branches take Python functions that emit their bodies, and hand values on as arguments and results (no stack
slots, so no pass is needed to remove them).  What computes is in instructions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from chainrule.engines.llvm.instructions import Instructions
from chainrule.engines.llvm.target import Target
from chainrule.engines.llvm.value import (
    Int,
    Operand,
    Value,
    element_of,
    lanes_of,
    like,
    literal,
)

__all__ = ["Function", "Int", "Module", "Operand", "Value", "element_of", "lanes_of", "like", "literal"]


class Module:
    """One unit of IR for one target; `text()` is the whole of it."""

    def __init__(self, target: Target, name: str = "chainrule") -> None:
        self.target = target
        self.name = name
        self.functions: list[Function] = []
        self.declarations: dict[str, str] = {}
        self.globals: dict[str, str] = {}
        self.shared: dict[object, Function] = {}

    def function(self, name: str, params: Sequence[str], returns: str = "void", internal: bool = False) -> Function:
        """A new function with parameters of these types; emit its body through the result, ending with `ret`."""
        function = Function(self, name, params, returns, internal)
        self.functions.append(function)
        return function

    def table(self, name: str, type: str, numbers: Sequence[float]) -> Value:
        """A constant array in the module, as a pointer."""
        items = ", ".join(f"{type} {literal(type, x)}" for x in numbers)
        text = f"@{name} = private unnamed_addr constant [{len(numbers)} x {type}] [{items}], align 64"
        self.globals.setdefault(name, text)
        return Value("ptr", f"@{name}")

    def text(self) -> str:
        """The IR of everything emitted so far."""
        return self._text(self.functions)

    def parts(self, lines: int) -> list[str]:
        """The IR in several texts, each of which can be compiled by itself: whole functions, up to so many lines.

        What calls from part to part is seen from outside, then; machine code is the same.
        """
        groups: list[list[Function]] = [[]]
        for function in self.functions:
            if groups[-1] and sum(len(f.lines) for f in groups[-1]) + len(function.lines) > lines:
                groups.append([])
            groups[-1].append(function)
        if len(groups) == 1:
            return [self.text()]
        for function in self.functions:
            function.internal = False
        return [self._text(group) for group in groups]

    def _text(self, functions: Sequence[Function]) -> str:
        head = [f'source_filename = "{self.name}"', f'target triple = "{self.target.triple}"', ""]
        body = "\n".join(f.text() for f in functions)
        tables = [text for name, text in self.globals.items() if len(functions) == len(self.functions) or name in body]
        called = {name: f for g in functions for name, f in g.called.items() if f not in functions}
        others = [f.declaration() for f in called.values()]
        return "\n".join([*head, *tables, *self.declarations.values(), *others, body, ""])


class Function(Instructions):
    """A function under construction: every method emits at its end."""

    def __init__(self, module: Module, name: str, params: Sequence[str], returns: str, internal: bool) -> None:
        super().__init__(module.target, module.declarations)
        self.module = module
        self.name = name
        self.returns = returns
        self.internal = internal
        self.called: dict[str, Function] = {}
        """The functions of the module that it calls, by name."""
        self.args = [Value(type, f"%a{i}") for i, type in enumerate(params)]
        self._places: list[str] = []

    # ---- the text
    def text(self) -> str:
        """The definition of this function."""
        params = ", ".join(f"{a.type} {'noalias ' if a.type == 'ptr' else ''}{a.text}" for a in self.args)
        linkage = "internal " if self.internal else ""
        head = f"\ndefine {linkage}{self.returns} @{self.name}({params}) nounwind {{\nentry:\n"
        return head + "\n".join([*self._places, *self.lines]) + "\n}"

    def declaration(self) -> str:
        """What a text says that calls this function and does not define it: by its address, as it may be far away."""
        return f"declare {self.returns} @{self.name}({', '.join(a.type for a in self.args)}) nounwind nonlazybind"

    def place(self, type: str, count: int, align: int = 64) -> Value:
        """Scratch on the stack, one for the function: it may be asked for within a loop."""
        name = f"%place{len(self._places)}"
        self._places.append(f"  {name} = alloca [{count} x {type}], align {align}")
        return Value("ptr", name)

    # ---- control
    def call(self, function: Function, *operands: Operand) -> Value:
        """Call a function of this module (the result of a void function is not to be used)."""
        self.called[function.name] = function
        texts = ", ".join(
            f"{a.type} {self.value(x, a.type).text}" for a, x in zip(function.args, operands, strict=True)
        )
        call = f"call {function.returns} @{function.name}({texts})"
        if function.returns == "void":
            self.line(call)
            return Value("void", "")
        return self.emit(function.returns, call)

    def ret(self, x: Value | None = None) -> None:
        """Return."""
        self.line("ret void" if x is None else f"ret {x.type} {x.text}")

    def branch(self, label: str) -> None:
        """Jump."""
        self.line(f"br label %{label}")

    def cbranch(self, condition: Value, then: str, otherwise: str) -> None:
        """Jump by a condition."""
        self.line(f"br i1 {condition.text}, label %{then}, label %{otherwise}")

    def phi(self, type: str, *incoming: tuple[Value, str]) -> Value:
        """The value that came with the block we came from."""
        return self.emit(type, f"phi {type} " + ", ".join(f"[ {v.text}, %{block} ]" for v, block in incoming))

    def loop(
        self,
        start: Int,
        stop: Int,
        body: Callable[..., object],
        carried: Sequence[Value] = (),
        step: int = 1,
        unguarded: bool = False,
    ) -> list[Value]:
        """for i in range(start, stop, step): carried = body(i, *carried).  Returns the carried values at the end.

        A body without carried values may return anything.  With start and stop known: no turn emits nothing, one turn
        emits the body alone.  `unguarded` promises at least one turn.
        """
        if isinstance(start, int) and isinstance(stop, int):
            turns = len(range(start, stop, step))
            if turns == 0:
                return list(carried)
            if turns == 1:
                return _results(body(start, *carried), len(carried))
            unguarded = True
            stop = start + turns * step
        pre, head, done = self.block, self.new_label("loop"), self.new_label("done")
        begin, end = self.value(start), self.value(stop)
        if unguarded:
            self.branch(head)
        else:
            self.cbranch(self.icmp("slt", begin, end), head, done)
        self.label(head)
        at = len(self.lines)
        self.lines.append("")
        self._next += 1
        index = Value("i64", f"%i{self._next}")
        phis = []
        for _ in carried:
            self._next += 1
            self.lines.append("")
            phis.append(f"%c{self._next}")
        out = _results(body(index, *(Value(c.type, p) for c, p in zip(carried, phis, strict=True))), len(carried))
        following = self._opaque(self.emit("i64", f"add nsw i64 {index.text}, {step}"))
        out = [self._opaque(x) if x.type in ("i64", "ptr") else x for x in out]
        latch = self.block
        self.cbranch(self.icmp("slt", following, end), head, done)
        self.lines[at] = f"  {index.text} = phi i64 [ {begin.text}, %{pre} ], [ {following.text}, %{latch} ]"
        for k, (c, p, o) in enumerate(zip(carried, phis, out, strict=True)):
            self.lines[at + 1 + k] = f"  {p} = phi {c.type} [ {c.text}, %{pre} ], [ {o.text}, %{latch} ]"
        self.label(done)
        if unguarded:
            return out
        return [self.phi(c.type, (c, pre), (o, latch)) for c, o in zip(carried, out, strict=True)]

    def _opaque(self, x: Value) -> Value:
        """x, in a form that LLVM does not see through as the next step of a loop.

        Else its loop strength reduction weighs every address in the loop against every other, for a third of all the
        time that compiling takes, and finds nothing better: addresses are written here as the machine has them.
        """
        return self.emit(x.type, f"freeze {x.type} {x.text}")

    def if_(
        self,
        condition: Value,
        then: Callable[[], object],
        otherwise: Callable[[], object] | None = None,
        results: int = 0,
    ) -> list[Value]:
        """Emit a branch; `then` and `otherwise` return `results` values each, which come back joined."""
        yes, no, end = self.new_label("then"), self.new_label("else"), self.new_label("end")
        self.cbranch(condition, yes, no if otherwise else end)
        self.label(yes)
        first = _results(then(), results)
        from_yes = self.block
        self.branch(end)
        if otherwise is None:
            self.label(end)
            return []
        self.label(no)
        second = _results(otherwise(), results)
        from_no = self.block
        self.branch(end)
        self.label(end)
        return [self.phi(a.type, (a, from_yes), (b, from_no)) for a, b in zip(first, second, strict=True)]


def _results(out: object, count: int) -> list[Value]:
    if count == 0:
        return []
    if isinstance(out, Value):
        return [out]
    return list(cast(Iterable[Value], out))
