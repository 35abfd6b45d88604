"""Runs a machine: builds it from a description, with its clock and platform, and runs it to its end.

What does not belong here: observation (`observe`), the inspection of a stopped machine (`inspect`), and the terminal
and the command line (`cli`).
"""
