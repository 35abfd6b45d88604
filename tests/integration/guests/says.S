// Says what a test has put into it (tests/support/saying_guest.py): a text on the UART, in which the byte 1 stands for a
// line that is read and printed and the byte 2 for its command line; then it ends, or does not.

	.text
	.global _start
_start:
	mov	x19, #0x09000000		// PL011
	adr	x20, text
next:
	ldrb	w0, [x20], #1
	cbz	w0, end
	cmp	w0, #1
	b.eq	read
	cmp	w0, #2
	b.eq	arguments
	strb	w0, [x19]
	b	next
read:
	ldr	w1, [x19, #0x18]		// UARTFR
	tbnz	w1, #4, read			// RXFE
	ldrb	w0, [x19]
	strb	w0, [x19]
	cmp	w0, #10
	b.ne	read
	b	next
arguments:
	adr	x1, line
	mov	w0, #0x15			// SYS_GET_CMDLINE
	hlt	#0xf000
	adr	x21, space
1:	ldrb	w0, [x21], #1
	cbz	w0, next
	strb	w0, [x19]
	b	1b
end:
	ldr	x1, way
	cmp	x1, #1
	b.eq	wait
	cmp	x1, #2
	b.eq	hang
	cmp	x1, #3
	b.eq	flood
	cmp	x1, #4
	b.eq	compute
	adr	x1, block
	mov	w0, #0x20			// SYS_EXIT_EXTENDED
	hlt	#0xf000
wait:
	wfi
	b	wait
hang:
	b	hang
flood:
	adr	x20, text
1:	ldrb	w0, [x20], #1
	cbz	w0, flood
	strb	w0, [x19]
	b	1b
compute:
	ldr	x2, block
	add	x2, x2, #1
	adr	x3, block
	str	x2, [x3]
	b	compute

	.balign	8
line:	.quad	space, 512			// where the command line goes, and how long it may be
space:	.fill	512, 1, 0
	.ascii	"here it says:   "
block:	.quad	0x20026				// ADP_Stopped_ApplicationExit
	.quad	0				// the status
way:	.quad	0				// how it ends: 0 exit, 1 wait, 2 hang, 3 print for ever, 4 compute for ever
text:	.fill	8192, 1, 0
