"""Watching a machine while it runs: what is told of it, to whom, and how it becomes events and counts."""
