"""Encodings of instructions: loads and stores, instructions that need a feature, instructions without side effects.

What does not belong here: executing an instruction, which is up to the vCPU.
"""
