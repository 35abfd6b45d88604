"""The common parts of all GIC versions: the states of interrupts, their registers, priorities, and how to watch
them."""
