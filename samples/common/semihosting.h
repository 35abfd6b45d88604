/* Semihosting for AArch64: HLT #0xF000, operation in w0, parameters behind x1. */

#ifndef SAMPLES_SEMIHOSTING_H
#define SAMPLES_SEMIHOSTING_H

/* Ends the run with this status; comes back only where there is no semihosting. */
void semihosting_exit(unsigned long status);

#endif
