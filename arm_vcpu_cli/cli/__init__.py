"""The command line: parses, calls and renders. Only this package imports click and rich."""
