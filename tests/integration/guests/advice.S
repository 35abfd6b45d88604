// Mistakes that are told by one instruction or one descriptor, each a function to start at (boot.entry).
        .arch   armv8.5-a+sve+lse

        .macro  case name
        .balign 64
        .global \name
        .type   \name, %function
\name:
        .endm

        .macro  done name
        b       .
        .size   \name, . - \name
        .endm

        // RAM as it is by a block of 1 GiB, and a page table for 2 MiB at 0x80000000: the entry of level 1 has the bits
        // \table, the page at 0x80000000 is the one of this code with the bits \page.
        .macro  mmu page, table=0
        adr     x10, level1
        ldr     x11, =0x40000705                // Normal, AF, inner shareable, of EL1
        str     x11, [x10, #8]
        adr     x11, level2
        ldr     x12, =(\table + 3)
        orr     x12, x12, x11
        str     x12, [x10, #16]
        adr     x12, level3
        orr     x13, x12, #3
        str     x13, [x11]
        adr     x13, shared
        ldr     x14, =(\page + 0x703 + 4)
        orr     x13, x13, x14
        str     x13, [x12]
        msr     ttbr0_el1, x10
        mov     x11, #25
        movk    x11, #0x0099, lsl #16
        msr     tcr_el1, x11
        mov     x11, #0xff00
        msr     mair_el1, x11
        dsb     sy
        tlbi    vmalle1
        dsb     sy
        isb
        mrs     x11, sctlr_el1
        orr     x11, x11, #1
        msr     sctlr_el1, x11
        isb
        movz    x1, #0x8000, lsl #16
        .endm

        .equ    OF_EL0, 1 << 6
        .equ    UXN, 1 << 54
        .equ    READ_ONLY_TABLE, 2 << 61
        .equ    PXN_TABLE, 1 << 59

        // Goes to EL0, at an address.
        .macro  to_el0 address
        msr     spsr_el1, xzr
        msr     elr_el1, \address
        eret
        .endm

        .global _start
_start:
case sve
        ptrue   p0.b
        done    sve

case semihosting
        hlt     #0xf000
        done    semihosting

case halt
        hlt     #1
        done    halt

case interrupt_controller
        mrs     x0, s3_0_c12_c12_0              // ICC_IAR1_EL1
        done    interrupt_controller

case performance_monitors
        mrs     x0, pmccntr_el0
        done    performance_monitors

case secure_register
        mrs     x0, scr_el3
        done    secure_register

case no_register
        mrs     x0, s3_3_c15_c7_7
        done    no_register

case data_first
        .word   0x00001234
        done    data_first

// The page is the kernel's, and EL0 reads it: its code is in another page of the same table.
case kernel_page
        mmu     OF_EL0
        adr     x12, level3
        adr     x13, secret
        mov     x14, #0x707
        orr     x13, x13, x14
        str     x13, [x12, #8]
        dsb     sy
        add     x2, x1, #0x1000
        to_el0  x1
        .size   kernel_page, . - kernel_page

case user_register
        mmu     OF_EL0
        add     x3, x1, #8
        to_el0  x3
        .size   user_register, . - user_register

case not_for_users
        mmu     OF_EL0 + UXN
        to_el0  x1
        .size   not_for_users, . - not_for_users

case privileged_access_never
        mmu     OF_EL0
        msr     pan, #1
        ldr     x0, [x1]
        done    privileged_access_never

case read_only_table
        mmu     0, READ_ONLY_TABLE
        str     x0, [x1]
        done    read_only_table

case never_executable_table
        mmu     0, PXN_TABLE
        br      x1
        done    never_executable_table

// Prints what it is told, as a kernel's last words.
case parrot
        movz    x1, #0x0900, lsl #16            // PL011
1:      ldr     w2, [x1, #0x18]
        tbnz    w2, #4, 1b                      // FR.RXFE
        ldr     w0, [x1]
        str     w0, [x1]
        b       1b
        .size   parrot, . - parrot

        .ltorg
        .balign 4096
shared: ldr     x0, [x2]
        b       .
        mrs     x0, sctlr_el1
        b       .
        .balign 4096
secret: .quad   0
        .balign 4096
level1: .skip   4096
level2: .skip   4096
level3: .skip   4096
