// Relocates itself as a static PIE with packed relocations does, and checks what comes of it: by its own doing or the
// loader's, each pointer must be right. Ends with the number of those that are wrong as its status.

        .global _start
        .type   _start, %function
_start:
        adrp    x19, __ehdr_start       // the bias: the file is linked for address 0
        add     x19, x19, :lo12:__ehdr_start
        adrp    x1, _DYNAMIC
        add     x1, x1, :lo12:_DYNAMIC
        mov     x2, #0                  // DT_RELR
        mov     x3, #0                  // DT_RELRSZ
        mov     x4, #0                  // DT_RELA
        mov     x5, #0                  // DT_RELASZ
tags:   ldp     x6, x7, [x1], #16
        cmp     x6, #36
        csel    x2, x7, x2, eq
        cmp     x6, #35
        csel    x3, x7, x3, eq
        cmp     x6, #7
        csel    x4, x7, x4, eq
        cmp     x6, #8
        csel    x5, x7, x5, eq
        cbnz    x6, tags

        add     x4, x4, x19             // Elf64_Rela
        add     x5, x5, x4
rela:   cmp     x4, x5
        b.hs    packed
        ldp     x6, x7, [x4], #16
        ldr     x8, [x4], #8
        cmp     w7, #1027
        b.ne    rela
        add     x8, x8, x19
        str     x8, [x6, x19]
        b       rela

packed: add     x2, x2, x19
        add     x3, x3, x2
relr:   cmp     x2, x3
        b.hs    check
        ldr     x6, [x2], #8
        tbnz    x6, #0, bitmap
        add     x9, x6, x19
        ldr     x8, [x9]
        add     x8, x8, x19
        str     x8, [x9], #8
        b       relr
bitmap: mov     x10, x9
bit:    lsr     x6, x6, #1
        cbz     x6, next
        tbz     x6, #0, skip
        ldr     x8, [x10]
        add     x8, x8, x19
        str     x8, [x10]
skip:   add     x10, x10, #8
        b       bit
next:   add     x9, x9, #63 * 8
        b       relr

check:  mov     x0, #0
        adr     x1, _start
        adrp    x2, pointers
        add     x2, x2, :lo12:pointers
        mov     x3, #70
each:   ldr     x4, [x2], #8
        cmp     x4, x1
        cinc    x0, x0, ne
        subs    x3, x3, #1
        b.ne    each
        adrp    x1, status
        add     x1, x1, :lo12:status
        str     x0, [x1, #8]
        mov     w0, #0x18               // SYS_EXIT
        hlt     #0xf000
        .size   _start, . - _start

        .data
        .balign 8
pointers:
        .rept   70
        .quad   _start
        .endr
status: .quad   0x20026, 0
        .ifdef  undefined
        .weak   nobody
        .quad   nobody                  // not R_AARCH64_RELATIVE, and beyond what is relocated above
        .endif
