"""The parts of the HTML report that are no Python."""
