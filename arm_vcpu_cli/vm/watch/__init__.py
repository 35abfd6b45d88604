"""What a run looks out for beside exits: a guest that hangs, one that waits, a kernel that panics.

What does not belong here: the words for what was found, and the decision to end the run.
"""
