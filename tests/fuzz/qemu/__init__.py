"""The second opinion: batches of cases, executed by QEMU's processor under a few instructions of EL2 (``judge.S``)."""
