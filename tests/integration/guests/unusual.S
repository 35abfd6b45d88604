// Exceptions that few guests take: an illegal exception return, a misaligned PC, and software step in all of its states.
// Each case prints its name and, for each exception, ESR_EL1, ELR_EL1 and FAR_EL1 (as distances from what was meant),
// SPSR_EL1, and which vector it was.
        .arch   armv8-a
        .equ    UART, 0x09000000
        .equ    EL1H, 0x3c5
        .equ    SS, 1 << 21
        .equ    IL, 1 << 20
        .equ    MDSCR_SS, 1
        .equ    KDE, 1 << 13

// Begins a case: x19 is where to go on, x20 what ELR_EL1 and FAR_EL1 are told relative to.
        .macro  case name, origin
        adr     x0, 8f
        bl      print
        b       9f
8:      .asciz  "\name"
        .balign 4
9:      adr     x19, 7f
        ldr     x20, =\origin
        msr     far_el1, x20
        .endm

        .macro  end
        .balign 4
7:      bl      newline
        .endm

// Returns from an exception to \to with that SPSR_EL1.
        .macro  return to, spsr
        ldr     x0, =\to
        msr     elr_el1, x0
        ldr     x0, =\spsr
        msr     spsr_el1, x0
        eret
        .endm

        .text
        .global _start
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        ldr     x0, =stack_top
        mov     sp, x0
        msr     oslar_el1, xzr
        msr     mdscr_el1, xzr
        isb

        .irp    mode, 0x3c9, 0x3c8, 0x3cd, 0x3c2, 0x3c6, 0x3c1, 0x3c7, 0xf00003cb, 0x00000009
        case    "illegal \mode", target
        return  target, \mode
        end
        .endr
        case    "illegal, elsewhere", target
        return  target + 2, 0x3c9
        end
        case    "with IL to EL0", target
        return  target, IL
        end
        case    "with IL to EL1t", target
        return  target, IL | 0x3c4
        end
        case    "with IL to EL1h", target
        return  target, IL | EL1H
        end

        .irp    distance, 1, 2, 3
        case    "br \distance", target
        ldr     x0, =target + \distance
        br      x0
        end
        case    "blr \distance", target
        ldr     x0, =target + \distance
        blr     x0
        end
        case    "ret \distance", target
        ldr     x0, =target + \distance
        ret     x0
        end
        case    "eret \distance", target
        return  target + \distance, 0
        end
        .endr
        case    "twice", target
        ldr     x0, =target + 2
        br      x0
        end

        .irp    how, "daifclr, #8", "daif, x1"
        case    "step by \how", 1f
        mov     x0, #KDE | MDSCR_SS
        msr     mdscr_el1, x0
        isb
        mov     x1, #0x1c0
        nop
        msr     \how
1:      nop
        nop
        nop
        b       7f
        end
        .endr
        .irp    how, "daifclr, #8", "daif, x1"
        case    "no KDE, \how", 1f
        mov     x0, #MDSCR_SS
        msr     mdscr_el1, x0
        isb
        mov     x1, #0x1c0
        nop
        msr     \how
1:      nop
        nop
        bl      newline
        b       7f
        end
        msr     daifset, #8
        msr     mdscr_el1, xzr
        .endr
        case    "switched on unmasked", 1f
        mov     x0, #KDE | MDSCR_SS
        msr     daifclr, #8
        msr     mdscr_el1, x0
1:      nop
        nop
        b       7f
        end

        .irp    spsr, SS, 0, SS | 0x3c0, SS | 0x1c5, 0x1c5, SS | 0x3c5
        .irp    code, plain, call, exclusive, load, undefined
        case    "step \spsr \code", \code
        mov     x0, #KDE | MDSCR_SS
        msr     mdscr_el1, x0
        isb
        return  \code, \spsr
        end
        .endr
        .endr
        case    "step illegal", target
        mov     x0, #KDE | MDSCR_SS
        msr     mdscr_el1, x0
        return  target, SS | 0x1c9
        end
        case    "step illegal, pending", target
        mov     x0, #KDE | MDSCR_SS
        msr     mdscr_el1, x0
        return  target, 0x1c9
        end
        case    "step misaligned", target
        mov     x0, #KDE | MDSCR_SS
        msr     mdscr_el1, x0
        return  target + 2, SS
        end
        case    "step misaligned, pending", target
        mov     x0, #KDE | MDSCR_SS
        msr     mdscr_el1, x0
        return  target + 2, 0
        end

        mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

target: nop
        nop
        svc     #0xbad
plain:  nop
        nop
        svc     #1
call:   svc     #2
        nop
        svc     #3
exclusive:
        ldxr    x0, [x20]
        nop
        svc     #4
load:   ldr     x1, [x20]
        nop
        svc     #5
undefined:
        udf     #0
        nop
        svc     #6

from_el1t:
        mov     w21, #'t'
        b       taken
from_el1h:
        mov     w21, #'h'
        b       taken
from_el0:
        mov     w21, #'u'
taken:  msr     daifset, #15
        mrs     x22, mdscr_el1
        msr     mdscr_el1, xzr
        isb
        bl      newline
        mrs     x0, esr_el1
        bl      print_hex
        mrs     x0, elr_el1
        sub     x0, x0, x20
        bl      print_hex
        mrs     x0, far_el1
        sub     x0, x0, x20
        bl      print_hex
        mrs     x0, spsr_el1
        bl      print_hex
        mov     x9, #UART
        str     w21, [x9]
        // A step goes on, pending once more, until it has been taken three times.
        mrs     x0, esr_el1
        lsr     x0, x0, #27
        cmp     x0, #0x32 >> 1
        b.ne    over
        add     x23, x23, #1
        cmp     x23, #3
        b.eq    over
        mrs     x0, spsr_el1
        orr     x0, x0, #SS
        msr     spsr_el1, x0
        msr     mdscr_el1, x22
        isb
        eret
over:   mov     x23, #0
        msr     elr_el1, x19
        mov     x0, #EL1H
        msr     spsr_el1, x0
        eret

newline:
        mov     x9, #UART
        mov     w1, #'\n'
        str     w1, [x9]
        ret

print:  mov     x9, #UART
1:      ldrb    w1, [x0], #1
        cbz     w1, 2f
        str     w1, [x9]
        b       1b
2:      ret

// "d6000062 "
print_hex:
        mov     x9, #UART
        mov     x1, #28
1:      lsr     w2, w0, w1
        and     w2, w2, #15
        cmp     w2, #10
        add     w3, w2, #'0'
        add     w2, w2, #'a' - 10
        csel    w2, w3, w2, lo
        str     w2, [x9]
        subs    x1, x1, #4
        b.pl    1b
        mov     w2, #' '
        str     w2, [x9]
        ret

        .balign 0x800
vectors:
        b       from_el1t
        .org    vectors + 0x200
        b       from_el1h
        .org    vectors + 0x400
        b       from_el0
        .org    vectors + 0x800

        .bss
        .balign 16
stack:  .skip   1024
stack_top:
