"""Determines why a pending interrupt does not reach its PE: the gates on its way, read from the registers alone.

This does not examine the model: it uses what a guest can read, and names what a guest can write. It reads no register
whose read has a side effect.

What does not belong here: the state of timers and PSTATE, which are on either side of the controller, and text.
"""
