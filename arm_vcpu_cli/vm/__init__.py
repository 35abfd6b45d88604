"""A machine that runs: built from a description, its clock and platform, the loop that runs it to its end.

What does not belong here: what only observes (`observe`), what looks at a machine that stands still (`inspect`), and
whatever a terminal or a command line needs (`cli`).
"""
