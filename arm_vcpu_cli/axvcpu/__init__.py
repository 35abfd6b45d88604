"""The architecture-neutral vCPU layer: the Rust crate axvcpu in Python."""
