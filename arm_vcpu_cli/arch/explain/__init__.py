"""Turns the facts of the other packages into words for `explain`, `probe` and the reports.

What does not belong here: facts. Layouts, syndromes and features are declared elsewhere.
"""
