"""Fuzzing drivers: long runs by hand, short ones in the tests."""
