"""Debugging a machine: exact control of its execution, time travel, and the GDB remote protocol.

What happens to a guest under a debugger is what happens without one: nothing here takes guest time, changes memory or
adds an exit, unless the user writes a register or memory.
"""
