/* Exceptions taken to EL1: what vectors.S saves, and faults that a guest provokes. */

#ifndef SAMPLES_EXCEPTION_H
#define SAMPLES_EXCEPTION_H

/* Byte offsets in struct exception_frame, for vectors.S. */
#define FRAME_X0 0
#define FRAME_ELR 256
#define FRAME_RECORD 272
#define FRAME_SIZE 288

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>

struct exception_frame {
    unsigned long x[31];
    unsigned long sp_el0;
    unsigned long elr;
    unsigned long spsr;
    unsigned long record[2]; /* frame pointer and ELR of what was interrupted */
};

_Static_assert(offsetof(struct exception_frame, x) == FRAME_X0, "FRAME_X0");
_Static_assert(offsetof(struct exception_frame, elr) == FRAME_ELR, "FRAME_ELR");
_Static_assert(offsetof(struct exception_frame, record) == FRAME_RECORD, "FRAME_RECORD");
_Static_assert(sizeof(struct exception_frame) == FRAME_SIZE, "FRAME_SIZE");

/* Entries of the vector table: four sources of four kinds, synchronous first. */
enum {
    VECTOR_CURRENT_SPX_SYNC = 4,
    VECTOR_LOWER_AARCH64_SYNC = 8,
};

/* ESR_ELx.EC (Arm ARM D17.2.37). */
enum {
    EC_UNKNOWN = 0x00,
    EC_SVC64 = 0x15,
    EC_INSTRUCTION_ABORT_LOWER = 0x20,
    EC_INSTRUCTION_ABORT_SAME = 0x21,
    EC_DATA_ABORT_LOWER = 0x24,
    EC_DATA_ABORT_SAME = 0x25,
};

static inline unsigned exception_class(unsigned long esr)
{
    return esr >> 26 & 0x3f;
}

/* Called by vectors.S; a sample may define its own. */
void exception_handler(struct exception_frame *frame, unsigned long vector);

/* Reports an exception that nobody expected and ends the run with status 1. */
_Noreturn void exception_panic(const struct exception_frame *frame, unsigned long vector);

struct fault {
    bool taken;
    unsigned long esr;
    unsigned long far;
    unsigned long elr;
};

/*
 * Between fault_expect() and fault_taken() one synchronous exception from EL1 is
 * recorded and what caused it is skipped: the instruction, or after an
 * instruction abort the call that led there.
 */
void fault_expect(void);
struct fault fault_taken(void);

#endif
#endif
