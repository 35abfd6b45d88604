"""Makes events of a running machine: traces, counts, latencies, the watch over its exception vectors.

What does not belong here: formats and selection of events, which know no machine (`trace`), and anything that changes
what the guest sees.
"""
