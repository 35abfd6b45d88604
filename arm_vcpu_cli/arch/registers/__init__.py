"""System registers: their encodings, their fields, the values of a field.

What does not belong here: syndromes (`syndrome`), identification registers (`identification`), registers of devices.
"""
