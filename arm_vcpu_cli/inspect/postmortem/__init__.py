"""The report on a guest that went wrong: evidence, patterns, advice, backtrace, disassembly.

What does not belong here: the translation tables, which lie next door and serve `walk` as well.
"""
