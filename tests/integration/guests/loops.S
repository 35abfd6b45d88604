// A guest that does one thing over and over until it is stopped; each variant another, by the name of a symbol
// (--defsym NAME=1, see the Makefile). With gicv2 it uses a GICv2, else a GICv3.

        .equ    UART, 0x09000000
        .equ    RTC, 0x09010000
        .equ    DISTRIBUTOR, 0x08000000
        .equ    INTERFACE, 0x08010000           // of a GICv2
        .equ    REDISTRIBUTOR, 0x080A0000       // of a GICv3
        .equ    NOWHERE, 0x0B000000
        .equ    TIMER, 27                       // the virtual timer's PPI

        .global _start
        .type   _start, %function
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        movz    x19, #(UART >> 16), lsl #16
        movz    x20, #(RTC >> 16), lsl #16
        movz    x21, #(NOWHERE >> 16), lsl #16
        movz    x22, #(DISTRIBUTOR >> 16), lsl #16
        movz    x23, #(INTERFACE >> 16), lsl #16
        movz    x24, #((REDISTRIBUTOR + 0x10000) >> 16), lsl #16
        adr     x0, stack
        mov     sp, x0

// Two CPUs: the second one does what the rest of the name says, the first something else.

        .ifdef  second
        mrs     x0, mpidr_el1
        tst     x0, #0xFF
        b.ne    1f
        movz    x0, #0xC400, lsl #16            // PSCI CPU_ON
        movk    x0, #0x0003
        mov     x1, #1
        adr     x2, _start
        hvc     #0
        .ifdef  counts
        .equ    counting, 1
        b       count
        .endif
wait_alarm:
        ldr     w0, [x20, #0x18]                // RTCMIS
        tbz     w0, #0, wait_alarm
1:      add     x24, x24, #0x20, lsl #12        // its own redistributor
        .endif

// A register that is read forty times, and no more.

        .ifdef  enough
        .equ    counting, 1
        mov     w1, #40
1:      ldr     w0, [x20, #0x18]
        sub     w1, w1, #1
        cbnz    w1, 1b
        b       count
        .endif

// Registers that are polled.

        .ifdef  poll_bit
wait_busy:
        ldr     w0, [x19, #0x18]                // UARTFR
        tbz     w0, #3, wait_busy
        .endif

        .ifdef  poll_test
wait_full:
        ldr     w0, [x19, #0x18]
        tst     w0, #0x20
        b.ne    1f
        yield
        b       wait_full
1:
        .endif

        .ifdef  poll_function
wait_sent:
        add     x0, x19, #0x18
        bl      read_register
        str     w0, [sp, #12]                   // as a compiler that does not optimise has it
        ldr     w0, [sp, #12]
        and     w0, w0, #0x80                   // TXFE
        cmp     w0, #0
        b.ne    wait_sent
        .endif

        .ifdef  poll_input
wait_key:
        ldr     w0, [x19, #0x18]
        tbnz    w0, #4, wait_key                // RXFE
        .endif

        .ifdef  poll_pending
        mov     w1, #0x12                       // the interface signals Group 1
        str     w1, [x22]
wait_pending:
        mrs     x0, S3_0_C12_C12_2              // ICC_HPPIR1_EL1
        cmp     w0, #TIMER
        b.ne    wait_pending
        .endif

        .ifdef  poll_acknowledge
wait_interrupt:
        mrs     x0, S3_0_C12_C12_0              // ICC_IAR1_EL1
        cmp     w0, #TIMER
        b.ne    wait_interrupt
        .endif

        .ifdef  poll_nothing
wait_device:
        ldr     w0, [x21, #0x70]
        cbz     w0, wait_device
        .endif

        .ifdef  poll_timer
        mov     x1, #1
        msr     cntv_cval_el0, x1
wait_timer:
        mrs     x0, cntv_ctl_el0                // which nobody has switched on
        tbz     w0, #2, wait_timer              // ISTATUS
        .endif

        .ifdef  poll_waker
        mov     w1, #2
        sub     x2, x24, #0x10, lsl #12
        str     w1, [x2, #0x14]                 // asleep
wait_awake:
        ldr     w0, [x2, #0x14]                 // GICR_WAKER
        tbnz    w0, #2, wait_awake              // ChildrenAsleep
        .endif

        .ifdef  poll_identity
wait_identity:
        ldr     w0, [x19, #0xFE0]               // UARTPeriphID0
        cmp     w0, #0x12
        b.ne    wait_identity
        .endif

// Memory that is polled: a flag, and a lock that nobody releases, by exclusive accesses and by swaps.

        .ifdef  poll_lock
        adr     x1, lock
        mov     w2, #1
        str     w2, [x1]
wait_lock:
        ldaxr   w0, [x1]
        stlxr   w3, w2, [x1]
        cbnz    w3, wait_lock
        cbnz    w0, wait_lock
        .endif

        .ifdef  poll_swap
        .arch   armv8.1-a
        adr     x1, lock
        mov     w2, #1
        str     w2, [x1]
wait_swap:
        swpa    w2, w0, [x1]
        cmp     w0, #0
        b.ne    wait_swap
        .endif

// An atomic counter, which gets on although it retries.

        .ifdef  adds
        .equ    counting, 1
        adr     x1, lock
1:      ldxr    w0, [x1]
        add     w0, w0, #1
        stxr    w3, w0, [x1]
        cbnz    w3, 1b
        b       1b
        .endif

// A call that is made over and over.

        .ifdef  poll_call
wait_call:
        movz    x0, #0xC400, lsl #16            // PSCI AFFINITY_INFO
        movk    x0, #0x0004
        mov     x1, #1
        mov     x2, #0
        hvc     #0
        cbnz    x0, wait_call
        .endif

// Two registers, and output in between: what a guest does that gets on.

        .ifdef  prints
        mov     w1, #'.'
1:      ldr     w0, [x19, #0x18]
        tbnz    w0, #5, 1b                      // TXFF
        str     w1, [x19]
        b       1b
        .endif

// An exception whose handler prints and returns to it.

        .ifdef  fails
wrong:  ldr     w0, [x21]
        .endif

// Interrupts.

        .ifdef  gicv2
        mov     w1, #3
        str     w1, [x22]
        mov     w1, #0xF0
        str     w1, [x23, #4]
        mov     w1, #3                          // both groups, without AckCtl
        str     w1, [x23]
        mov     w1, #(1 << TIMER)
        str     w1, [x22, #0x80]                // Group 1
        str     w1, [x22, #0x100]
        .else
        mov     w1, #0x12
        str     w1, [x22]
        mov     w1, #(1 << TIMER)
        str     w1, [x24, #0x80]
        str     w1, [x24, #0x100]
        mov     w1, #6                          // INTIDs 33 and 34
        str     w1, [x22, #0x84]
        str     w1, [x22, #0x104]
        mov     x1, #0xF0
        msr     S3_0_C4_C6_0, x1                // ICC_PMR_EL1
        mov     x1, #1
        msr     S3_0_C12_C12_7, x1              // ICC_IGRPEN1_EL1
        .endif
        .ifdef  timer
        mov     x1, #1
        msr     cntv_cval_el0, x1
        msr     cntv_ctl_el0, x1
        .endif
        .ifdef  uart
        mov     w1, #0x301                      // on
        str     w1, [x19, #0x30]                // UARTCR
        mov     w1, #0x20                       // TXIM
        str     w1, [x19, #0x38]                // UARTIMSC
        mov     w1, #'!'
        str     w1, [x19]
        .endif
        .ifdef  clock
        ldr     w1, [x20]                       // RTCDR
        add     w1, w1, #1
        str     w1, [x20, #4]                   // RTCMR
        mov     w1, #1
        str     w1, [x20, #0x10]                // RTCIMSC
        .endif
        isb
        msr     daifclr, #2
        .ifdef  clock
        wfi
        .endif
        .ifdef  sgi
        mov     w1, #(1 << 5)
        str     w1, [x24, #0x80]
        str     w1, [x24, #0x100]
        movz    x4, #0x0500, lsl #16
        orr     x4, x4, #1
        msr     S3_0_C12_C11_5, x4              // ICC_SGI1R_EL1
        .endif
        .ifdef  flag
        adr     x3, lock
wait_flag:
        ldr     w0, [x3]
        cbz     w0, wait_flag
        .endif
        b       .
        .size   _start, . - _start

read_register:
        ldr     w0, [x0]
        ret

interrupted:
        .ifndef silent
        .ifdef  gicv2
        ldr     w1, [x23, #0xC]                 // GICC_IAR
        str     w1, [x23, #0x10]                // GICC_EOIR
        .else
        mrs     x1, S3_0_C12_C12_0              // ICC_IAR1_EL1
        .ifdef  healthy
        ldr     x2, =6250                       // 100 us
        msr     cntv_tval_el0, x2
        .endif
        .ifdef  locks
        adr     x3, lock
        mov     w2, #1
        str     w2, [x3]                        // held by the code that is interrupted
wait_holder:
        ldaxr   w0, [x3]
        stlxr   w5, w2, [x3]
        cbnz    w5, wait_holder
        cbnz    w0, wait_holder
        .endif
        .ifdef  sgi
        msr     S3_0_C12_C11_5, x4
        .endif
        msr     S3_0_C12_C12_1, x1              // ICC_EOIR1_EL1
        .endif
        .endif
        eret

failed:
        mov     w1, #'!'
        str     w1, [x19]
        eret

        .balign 0x800
vectors:
        .skip   0x200                           // synchronous, of the current level with SP_ELx
        b       failed
        .skip   0x7C
        b       interrupted                     // IRQ
        .balign 8
        .ltorg
        .ifdef  counting
count:                                          // which is no standstill
        add     x5, x5, #1
        b       count
        .balign 16
        .endif
        .balign 16
lock:   .skip   64
stack:
