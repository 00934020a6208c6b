"""How many processors a call may use, so that the workers of a parallel search do not fight over them."""

from __future__ import annotations

import os
import sys


def allowed() -> int:
    """Processors for this call: those that the process may run on, at most OMP_NUM_THREADS where it is set.

    Inside a worker of joblib or multiprocessing the processors are shared out already: one, unless OMP_NUM_THREADS says
    how many (joblib sets it for its processes).
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    most = int(limit) if limit.isdigit() and int(limit) > 0 else None
    # Looked up, not imported: a process that multiprocessing started has loaded it, and loading it takes its time.
    started = sys.modules.get("multiprocessing.process")
    if started is not None and started.parent_process() is not None:
        return most or 1
    if (parallel := sys.modules.get("joblib.parallel")) is not None and (
        getattr(parallel.get_active_backend()[0], "nesting_level", False)
    ):
        return 1
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return known if most is None else min(known, most)
