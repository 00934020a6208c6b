"""The code of a packing stage: a factor's bfloat16 parts in the words that a product of parts reads."""

from __future__ import annotations

from chainrule.engines.compiled.kernels.inner import Dots, kernel_for
from chainrule.engines.compiled.kernels.parts import pack_lines, pack_rows_of_lanes, pack_turned
from chainrule.engines.compiled.lower.frame import Frame
from chainrule.engines.compiled.plan.stages import Pack


def pack(frame: Frame, stage: Pack) -> None:
    """Emits the stage."""
    f, layout, packing = frame.f, frame.layout, stage.packing
    kernel = kernel_for(layout, packing.parts)
    assert isinstance(kernel, Dots)
    values, to, groups = frame.addresses[packing.symbol.name], frame.addresses[packing.name], packing.groups
    columns = int(packing.symbol.shape[1])
    if packing.form == "lines":
        lo, hi = frame.share(frame.panels)
        pack_lines(f, kernel, values=values, to=to, n=columns // groups, groups=groups, lo=lo, hi=hi)
    elif packing.form == "lanes":
        batched = packing.symbol.batched
        rows = f.mul(frame.panels, columns) if batched else layout.panels(columns) * int(packing.symbol.shape[0])
        lo, hi = frame.share(rows)
        pack_rows_of_lanes(f, kernel, values=values, to=to, lo=lo, hi=hi)
    else:
        k = int(packing.symbol.shape[0]) // groups
        lo, hi = frame.share(groups * layout.panels(k))
        pack_turned(f, kernel, weight=values, to=to, k=k, n=columns, groups=groups, lo=lo, hi=hi)
