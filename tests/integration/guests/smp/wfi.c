/*
 * wfi: interrupts that end WFI. Each CPU in turn takes 10 interrupts of its own virtual timer, 200 us apart, while the
 * others are in WFI; then all do at once, each with a period of its own; then CPU 0 and every other CPU send an SGI to
 * and fro 1000 times (CPU 0 to itself if it is alone). One line each; the status of the run is 1 if a count is wrong.
 *
 *   cpu 1: 10 ticks, 0 of others
 *   all at once: cpu 1: 10 ticks
 *   ping-pong with cpu 1: 1000 of 1000 round trips
 */

#include "gic.h"

#define TICKS 10
#define PERIOD_US 200
#define SGI_PING 2
#define SGI_STOP 3
volatile u32 round_trips = 1000;

static volatile struct {
    u32 ticks, pings, stops;
    u32 period_us;
    u32 padding[28];
} seen[MAX_CPUS] __attribute__((aligned(128)));
static bool right = true;

void smp_came_up(unsigned cpu)
{
    if (cpu)
        gic_init_cpu();
    for (u32 intid = SGI_PING; intid <= SGI_STOP; intid++) {
        gic_set_priority(intid, 0x80);
        gic_enable(intid);
    }
    gic_set_priority(VIRTUAL_TIMER, 0x80);
    gic_enable(VIRTUAL_TIMER);
}

static void arm_timer(u32 us)
{
    WRITE_SYSREG(cntv_tval_el0, READ_SYSREG(cntfrq_el0) / 1000 * us / 1000);
    WRITE_SYSREG(cntv_ctl_el0, 1);
    ISB();
}

void smp_irq(struct frame *frame)
{
    unsigned self = smp_self();
    u32 interrupt = gic_acknowledge();

    (void)frame;
    switch (gic_intid(interrupt)) {
    case VIRTUAL_TIMER:
        if (++seen[self].ticks < TICKS)
            arm_timer(seen[self].period_us);
        else
            WRITE_SYSREG(cntv_ctl_el0, 0);
        ISB();
        break;
    case SGI_PING:
        seen[self].pings++;
        break;
    case SGI_STOP:
        seen[self].stops++;
        break;
    case SPURIOUS:
        return;
    }
    gic_end(interrupt);
}

/* Sleeps until a condition that an interrupt of this CPU makes true: masked, an interrupt still ends WFI. */
#define SLEEP_UNTIL(condition)  \
    do {                        \
        IRQS_OFF();             \
        while (!(condition)) {  \
            WFI();              \
            IRQS_ON();          \
            ISB();              \
            IRQS_OFF();         \
        }                       \
    } while (0)

static u64 tick(u64 period_us)
{
    unsigned self = smp_self();

    seen[self].ticks = 0;
    seen[self].period_us = period_us;
    arm_timer(period_us);
    SLEEP_UNTIL(seen[self].ticks == TICKS);
    return 0;
}

static u64 sleep_until_stopped(u64 argument)
{
    unsigned self = smp_self();
    u32 before = argument;

    SLEEP_UNTIL(seen[self].stops != before);
    return 0;
}

static u64 pong(u64 count)
{
    unsigned self = smp_self();

    for (u32 i = 0; i < count; i++) {
        SLEEP_UNTIL(seen[self].pings > i);
        gic_send_sgi(0, SGI_PING);
    }
    return 0;
}

/* The others are all in sleep_until_stopped(). */
static u64 tick_alone(u64 period_us)
{
    tick(period_us);
    if (smp_count > 1)
        gic_send_sgi_to_others(SGI_STOP);
    return 0;
}

static void each_alone(void)
{
    for (unsigned cpu = 0; cpu < smp_count; cpu++) {
        u32 others = 0, stops = seen[0].stops;

        for (unsigned i = 0; i < smp_count; i++)
            seen[i].ticks = 0;
        for (unsigned i = 1; i < smp_count; i++)
            if (i != cpu)
                smp_call(i, sleep_until_stopped, seen[i].stops);
        if (cpu) {
            smp_call(cpu, tick_alone, PERIOD_US);
            sleep_until_stopped(stops);
        } else {
            tick_alone(PERIOD_US);
        }
        for (unsigned i = 1; i < smp_count; i++)
            smp_join(i);
        for (unsigned i = 0; i < smp_count; i++)
            if (i != cpu)
                others += seen[i].ticks;
        smp_printf("cpu %u: %u ticks, %u of others\n", cpu, seen[cpu].ticks, others);
        right = right && seen[cpu].ticks == TICKS && others == 0;
    }
}

static void all_at_once(void)
{
    for (unsigned cpu = 1; cpu < smp_count; cpu++)
        smp_call(cpu, tick, PERIOD_US + 37 * cpu);
    tick(PERIOD_US);
    for (unsigned cpu = 0; cpu < smp_count; cpu++) {
        if (cpu)
            smp_join(cpu);
        smp_printf("all at once: cpu %u: %u ticks\n", cpu, seen[cpu].ticks);
        right = right && seen[cpu].ticks == TICKS;
    }
}

static void ping_pong(unsigned cpu)
{
    u32 count = round_trips;

    seen[0].pings = seen[cpu].pings = 0;
    if (cpu)
        smp_call(cpu, pong, count);
    for (u32 i = 0; i < count; i++) {
        gic_send_sgi(cpu, SGI_PING);
        SLEEP_UNTIL(seen[0].pings > i);
    }
    if (cpu)
        smp_join(cpu);
    smp_printf("ping-pong with cpu %u: %u of %u round trips\n", cpu, seen[0].pings, count);
    right = right && seen[0].pings == count && seen[cpu].pings == count;
}

int main(void)
{
    gic_init();
    smp_came_up(0);
    smp_start_all();
    smp_printf("wfi: %u CPUs, GICv%u\n", smp_count, gic_version);
    each_alone();
    all_at_once();
    if (smp_count == 1)
        ping_pong(0);
    for (unsigned cpu = 1; cpu < smp_count; cpu++)
        ping_pong(cpu);
    smp_printf("wfi: %s\n", right ? "all right" : "WRONG");
    return right ? 0 : 1;
}
