"""The glass box: the numbers of a step, checks of every gradient, and what lies beyond gradients."""

from chainrule.glass.check import CheckReport, check
from chainrule.glass.trace import Trace, TraceRecord, trace

__all__ = ["CheckReport", "Trace", "TraceRecord", "check", "trace"]
