"""System registers: their encodings, their fields, the values of a field.

What does not belong here: identification registers (`identification`), registers of devices, and syndromes
(`syndrome`), except the one that names system registers.
"""
