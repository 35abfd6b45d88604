"""What is told of a guest that has ended: evidence, patterns and advice, and the parts of the report."""
