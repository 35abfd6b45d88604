// Executes an undefined instruction, without exception vectors.

        .global _start
        .type   _start, %function
_start:
        nop
        udf     #0
        .size   _start, . - _start
