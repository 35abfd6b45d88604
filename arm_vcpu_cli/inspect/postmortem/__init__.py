"""The report on a guest that went wrong: evidence, patterns, advice, backtrace, disassembly.

What does not belong here: the translation tables, which have their own package because `walk` uses them as well.
"""
