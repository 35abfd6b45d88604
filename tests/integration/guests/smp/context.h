/* The area that context_stretch() fills registers from and saves them to; SP points to it meanwhile. */

#ifndef CONTEXT_H
#define CONTEXT_H

#define IN_X 0
#define IN_NZCV 248
#define IN_FPCR 256
#define IN_FPSR 264
#define OLD_SP 272
#define IN_Q 512
#define OUT_X 1024
#define OUT_NZCV 1272
#define OUT_FPCR 1280
#define OUT_FPSR 1288
#define OUT_Q 1536

#ifndef __ASSEMBLER__

#include "smp.h"

struct image {
    u64 x[31];
    u64 nzcv, fpcr, fpsr;
    u64 old_sp;
    u64 padding[29];
    u64 q[64];
};

struct area {
    struct image in, out;
};

_Static_assert(offsetof(struct area, in.nzcv) == IN_NZCV, "IN_NZCV");
_Static_assert(offsetof(struct area, in.old_sp) == OLD_SP, "OLD_SP");
_Static_assert(offsetof(struct area, in.q) == IN_Q, "IN_Q");
_Static_assert(offsetof(struct area, out) == OUT_X, "OUT_X");
_Static_assert(offsetof(struct area, out.q) == OUT_Q, "OUT_Q");

/* Loads every register, goes through many blocks of code, and saves every register. */
void context_stretch(struct area *area);

/* The same with Z0-Z31, P0-P15 and FFR, laid out in this order for the vector length of the moment. */
void context_sve_stretch(const void *in, void *out);
u64 context_sve_length(void);

#endif
#endif
