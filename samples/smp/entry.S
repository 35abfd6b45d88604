/* Where PSCI starts a CPU: x0 is what CPU_ON was given for it, the end of its stack. */

    .text
    .global secondary_entry
    .type   secondary_entry, %function
secondary_entry:
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    bl      secondary_main
    .size   secondary_entry, . - secondary_entry
