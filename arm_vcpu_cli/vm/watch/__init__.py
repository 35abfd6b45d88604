"""What a run watches for besides exits: a guest that hangs, one that waits, a kernel that panics.

What does not belong here: the words for what was found, and the decision to end the run.
"""
