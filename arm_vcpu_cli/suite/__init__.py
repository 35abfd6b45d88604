"""Runs guests as tests: finds them, runs each in a separate process, reads its console, and decides whether it passes.

The console is read in the process that runs the guest, so neither a flood of output nor a catastrophic regular
expression delays the others; only a verdict of limited size leaves it. The output for people is in the command line.
"""
