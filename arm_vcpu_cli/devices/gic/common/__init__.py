"""What GICs of all versions share: the states of interrupts, their registers, priorities, and how to watch them."""
