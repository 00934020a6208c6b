"""The benchmark: chainrule beside other libraries, on the same problems, in one process tree.

`chainrule bench` runs it; docs/PERFORMANCE.md says how its figures come about.  Each contender works in a process of
its own (worker.py), told by the runner when to repeat its work (runner.py), so that the repeats of all are interleaved.
"""
