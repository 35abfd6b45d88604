"""Looks at a machine that has stopped, or has not started: its tables, its last exits, whether it suits a guest.

What does not belong here: anything that lets the guest go on.
"""
