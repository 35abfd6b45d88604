// Switches its MMU on with a single table, all of whose entries point to itself. What it then executes are its
// descriptors: it takes an exception that it has no handler for.

        .equ    TABLE, 0x44000000
        .equ    ENTRIES, 512
        .equ    DESCRIPTOR, 0x703               // AF, inner shareable, a table or page
        .equ    TCR, 0x500800019                // T0SZ=25, EPD1, IPS=5

        .global _start
        .type   _start, %function
_start:
        ldr     x0, =TABLE
        ldr     x1, =TABLE + DESCRIPTOR
        mov     x2, #ENTRIES
        mov     x3, x0
1:      str     x1, [x3], #8
        subs    x2, x2, #1
        b.ne    1b
        msr     ttbr0_el1, x0
        ldr     x1, =TCR
        msr     tcr_el1, x1
        mov     x1, #0xFF
        msr     mair_el1, x1
        isb
        mrs     x1, sctlr_el1
        orr     x1, x1, #1
        msr     sctlr_el1, x1
        isb
        b       .
        .size   _start, . - _start
        .ltorg
