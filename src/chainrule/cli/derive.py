"""`chainrule derive`: the program of a network, in any notation, with its reasons and its numbers if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainrule.cli.choices import make_optimizer
from chainrule.cli.network_options import SpecOptions, make_network, with_data
from chainrule.describe.file import describe_as_json, is_description, read_description
from chainrule.describe.losses import usual_targets
from chainrule.describe.optimizers import Optimizer
from chainrule.errors import SpecError, expected
from chainrule.notation import SCRIPT, check_format, check_notation, derivation, remarks, show
from chainrule.notation.views import Mean
from chainrule.program.equation import Program
from chainrule.rules.derive import derive

if TYPE_CHECKING:
    from chainrule.engines.compiled.plan import Plan
    from chainrule.glass.exercise import Exercise


@dataclass(frozen=True)
class DeriveOptions:
    """The options of the command; see its help."""

    spec: SpecOptions
    """The network, where no model is given."""
    optimizer: str | None
    """Whose updates are derived, "none" for none; None for that of the description, or sgd."""
    settings: Mapping[str, float | None]
    """Of the optimizer that is named: momentum, weight_decay, clip_norm; None for its own."""
    weighted: bool
    """Whether the samples have weights."""
    long: bool
    """Without the short forms of known pairs."""
    model: str | None = None
    """The path of a saved network, whose equations are meant."""
    notation: str | None = None
    """Of the lines; None for the plain text of programs."""
    format: str | None = None
    """Of the lines."""
    why: bool = False
    """With the rule behind each line."""
    mean_at: str | None = None
    """Where 1/m stands; None where the notation has it."""
    with_numbers: str | None = None
    """Data whose values stand under each line."""
    samples: int = 8
    """How many of the data."""
    plan: bool = False
    """The compiled engine's stages instead."""
    json: bool = False
    """The equations as data instead."""
    steps: str | None = None
    """The gradient whose steps are printed instead."""
    exercise: str | None = None
    """The gradient whose steps are printed with right sides to be found."""
    answers: tuple[str, ...] = ()
    """Answers to the exercise: STEP=FORMULA."""
    describe: bool = False
    """The description of the network instead, as a file may hold it."""


def run(options: DeriveOptions) -> None:
    """Derive the program and print it.  Raises SpecError where the network, a notation or a format cannot be."""
    notation, form = options.notation or "row", options.format or "unicode"
    check_notation(notation, (SCRIPT,))
    check_format(form)
    mean: Any = options.mean_at
    chosen = {"--plan": options.plan, "--json": options.json, "--with-numbers": options.with_numbers is not None,
              "--steps": options.steps is not None, "--exercise": options.exercise is not None}  # fmt: skip
    described = None
    if options.model is not None and is_description(options.model):
        described = read_description(options.model).optimizer
    if options.describe:
        spec = options.spec.spec() if options.model is None else make_network(options.spec, options.model).spec
        print(describe_as_json(spec))
        return
    optimizer: Optimizer | None = described or make_optimizer("sgd", None)
    given = [name for name, value in options.settings.items() if value is not None]
    if given and (options.optimizer == "none" or (options.optimizer is None and described is not None)):
        raise SpecError(f"--{given[0].replace('_', '-')} goes with --optimizer NAME, whose setting it is.")
    if options.optimizer == "none":
        optimizer = None
    elif options.optimizer is not None or given:
        optimizer = make_optimizer(options.optimizer or "sgd", None, "constant", **options.settings)
    wanted = [name for name, is_wanted in chosen.items() if is_wanted]
    if len(wanted) > 1:
        raise SpecError(f"{wanted[0]} does not go with {wanted[1]}.")
    if options.answers and options.exercise is None:
        raise SpecError("--answer goes with --exercise, whose lines it answers.")
    if options.with_numbers is not None:
        _numbers(options, notation, form, mean, optimizer)
        return
    spec = options.spec.spec() if options.model is None else make_network(options.spec, options.model).spec
    program = derive(
        spec,
        optimizer=optimizer,
        targets=usual_targets(spec.loss),
        weighted=options.weighted,
        canonical=not options.long,
    )
    if options.steps is not None:
        print(program.steps(options.steps, notation).show(form))
        return
    if options.exercise is not None:
        _exercise(program.exercise(options.exercise, notation=notation), options.answers, form)
        return
    plain = options.notation is None and options.format is None and not options.why and mean is None
    if (options.plan or options.json) and not plain:
        raise SpecError(f"{wanted[0]} goes with no notation, format or reasons; leave these out.")
    if options.plan:
        print(_plan(program))
    elif options.json:
        print(program.to_json(), end="")
    elif plain:
        print(program)
    else:
        print(show(program, notation, form, why=options.why, mean_at=mean))


def _exercise(exercise: Exercise, answers: tuple[str, ...], form: str) -> None:
    """The lines with what is to be found left out, or what each answer is worth.  Raises SpecError for a bad one."""
    from chainrule.glass.exercise import HOW  # loaded with the exercise

    if not answers:
        print(exercise.show(form), end="\n" if form == "unicode" else "")
        if form == "unicode":
            also = "" if exercise.notation == "row" else ", or all as in this notation"
            print(f"\nAnswer with --answer 'STEP=FORMULA', such as --answer '{exercise.hidden[-1]}=P.T @ Q / m'.")
            print(f"The names are those of the plain program (A1, W2, dZ2), samples as rows{also}. {HOW}")
    for text in answers:
        place, sign, formula = text.partition("=")
        if not (sign and place.strip().isdecimal()):
            raise SpecError(expected("--answer", "STEP=FORMULA", text))
        print(f"{place.strip()}. {exercise.answer(int(place), formula).message}")


def _rows(X: Any) -> int:
    """How many samples there are, of one input or of several by name."""
    return len(next(iter(X.values()))) if isinstance(X, Mapping) else len(X)


def _plan(program: Program) -> Plan:
    """How the compiled engine runs it on this processor: a step of training, or without updates J and its gradients."""
    from chainrule.engines.compiled.kernels.panels import PanelLayout
    from chainrule.engines.compiled.plan import Recipe, plan  # the compiler takes its time to load
    from chainrule.engines.llvm import target

    objective = program.objective
    assert objective is not None
    if program.update:
        program, recipe = program.pruned([objective]), Recipe(training=True)
    else:
        wanted = [objective, *(gradient for _, gradient in program.gradients)]
        program, recipe = program.pruned(wanted), Recipe(tuple(s.name for s in wanted), large=True)
    return plan(program, recipe, PanelLayout(target.host(), "float32"))


def _numbers(options: DeriveOptions, notation: str, form: str, mean: Mean | None, optimizer: Optimizer | None) -> None:
    """Each line with its value on the first samples of the data."""
    if form != "unicode":
        raise SpecError(f"--with-numbers goes with the format unicode. Got {form!r}; leave --format out.")
    if options.weighted or options.long:
        raise SpecError("--with-numbers goes with neither --weighted nor --long.")
    network, X, y = with_data(options.spec, options.model, options.with_numbers, options.samples)
    trace = network.trace(X, y, training=True, optimizer=optimizer, notation=notation, mean_at=mean)
    program = network.derive(optimizer=optimizer, targets=usual_targets(network.spec.loss))
    arranged = derivation(program, notation, mean_at=mean)
    print("\n".join([f"m = {_rows(X)}", *remarks(program, arranged)]))
    section = ""
    for view in arranged.views:
        if view.section != section:
            section = view.section
            print(section)
        print(f"    {view.unicode}   {view.shape}".rstrip())
        if options.why and view.why:
            print(f"        {view.why}")
        numbers = trace.numbers(view)
        if numbers:
            print(f"        {numbers}")
