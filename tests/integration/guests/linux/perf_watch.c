/* A program for Linux: counts its own stores to a variable with a hardware watchpoint of perf, and prints the count. */

#include <asm/unistd.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>

static long target[8] __attribute__((aligned(64)));
static struct perf_event_attr attributes;
static char text[] = "stores 00\n";

static long call(long number, long a, long b, long c, long d, long e)
{
        register long x8 asm("x8") = number;
        register long x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c, x3 asm("x3") = d, x4 asm("x4") = e;

        asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
        return x0;
}

void _start(void)
{
        volatile long *stores = target;
        unsigned long count = 99;
        long file;

        attributes.type = PERF_TYPE_BREAKPOINT;
        attributes.size = sizeof(attributes);
        attributes.bp_type = HW_BREAKPOINT_W;
        attributes.bp_addr = (unsigned long)&target[3];
        attributes.bp_len = HW_BREAKPOINT_LEN_8;
        attributes.exclude_kernel = 1;
        attributes.exclude_hv = 1;
        file = call(__NR_perf_event_open, (long)&attributes, 0, -1, -1, 0);
        for (long i = 0; i < 17; i++) {
                stores[3] = i;          /* counted */
                stores[2] = i;          /* beside it */
                stores[4] = stores[3];  /* no store to it */
        }
        if (file >= 0)
                call(__NR_read, file, (long)&count, sizeof(count), 0, 0);
        text[7] = '0' + count / 10;
        text[8] = '0' + count % 10;
        call(__NR_write, 1, (long)text, sizeof(text) - 1, 0, 0);
        call(__NR_exit, 0, 0, 0, 0, 0);
}
