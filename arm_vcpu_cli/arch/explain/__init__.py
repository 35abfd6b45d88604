"""The sentences: what turns facts of the other rooms into words for `explain`, `probe` and the reports.

What does not belong here: facts. Layouts, syndromes and features are declared elsewhere, and only put into words here.
"""
