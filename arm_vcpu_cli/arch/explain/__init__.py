"""The sentences: what turns facts of the other rooms into words for `explain`, `probe` and the reports.

What does not belong here: facts. A layout, a syndrome or a feature is declared where it lies, and only told here.
"""
