"""Encodings of instructions: loads and stores, what needs which feature, what does nothing.

What does not belong here: carrying an instruction out, which is the vCPU's.
"""
