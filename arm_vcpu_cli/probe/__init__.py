"""The capabilities of the host and the modelled CPUs, as facts; the command line renders them."""
