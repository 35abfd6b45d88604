"""Watches a run for conditions other than exits: a guest that hangs or waits, a kernel that panics.

What does not belong here: the wording of the findings, and the decision to end the run.
"""
