"""The command line: parses, calls and renders. The only place that imports click and rich."""
