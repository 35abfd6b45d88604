"""What the host and the modelled CPUs can do, as facts; rendering them is the command line's part."""
