/* A GICv2 or a GICv3, whichever the machine has, as far as SGIs need it. */

#ifndef SAMPLES_SMP_GIC_H
#define SAMPLES_SMP_GIC_H

/* Turns on the distributor; to be called once. Returns the version. */
unsigned gic_init(void);

/* Lets the CPU that calls receive an SGI; interrupts stay masked, they only end WFI. */
void gic_init_cpu(unsigned cpu, unsigned sgi);

void gic_send_sgi(unsigned cpu, unsigned sgi);

/* Sleeps until an interrupt has come, ends it, and returns its number. */
unsigned gic_wait(void);

#endif
