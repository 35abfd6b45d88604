"""Drivers that look for what brings the product down; longer by hand, bounded in the tests."""
