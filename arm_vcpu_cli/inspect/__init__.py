"""Inspects a machine that has stopped or not yet started: its tables, its last exits, its suitability for a guest.

What does not belong here: anything that resumes the guest.
"""
