"""Runs guests as tests: finds them, runs each in a process of its own, reads their consoles, and says pass or fail.

What a guest prints is read in the process that runs it, so neither a flood nor a regular expression without end holds
up the others; only a verdict of limited size gets out. What people see of it belongs to the command line.
"""
