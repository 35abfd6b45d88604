"""Observes a running machine: traces, counts, latencies, and the watch on its exception vectors.

What does not belong here: formats and selection of events, which are independent of a machine (`trace`), and anything
that is visible to the guest.
"""
