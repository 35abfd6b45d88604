/*
 * torture: every CPU adds to one counter under one kind of lock after the other, and the sum has to be right. One line a
 * kind: "llsc 400000 of 400000 right", or LOST where some are lost; "lse ... skipped" without FEAT_LSE.
 *
 *   llsc, llsc-wfe      LDAXR/STXR/STLR; the second waits in WFE for its monitor to be cleared: nobody sends an event
 *   llsc-add            LDXR/STXR on the counter itself
 *   lse-swp, lse-cas    SWPA, CASA; lse-swp-wfe waits in WFE with an event (SEV) of who unlocks
 *   lse-add             LDADD on the counter itself
 *   ticket, ticket-wfe  in order of arrival; the second waits in WFE with SEV
 *   mcs, mcs-wfe        a queue in which each waits at its own word; the second in WFE for its monitor to be cleared
 *   broken              a test and a set that are two instructions; must lose some ("caught") with more than one CPU
 *
 * Each CPU adds `increments` (a word of .data that may be patched). Where the order is fixed and waiting takes whole
 * turns of the other CPUs (ticket, mcs) it is `increments_in_order`. Ends with status 0 if all are right but the broken
 * one; whether that one is caught is only printed.
 *
 * On QEMU use -accel tcg,thread=single (with threads WFE does not wait, and the kinds with a fixed order take for ever
 * on few host CPUs); there a turn is 100 ms long, so that the broken lock yields in its gap once in a while.
 */

#include "smp.h"

volatile u32 increments = 100000;
volatile u32 increments_in_order = 25;

static struct smp_barrier barrier;

/* Each on cache lines of its own. */
static struct {
    volatile u64 value;
    u64 padding[15];
} counter __attribute__((aligned(128)));
static struct {
    u32 word;
    u32 owner; /* ticket only */
    u64 padding[15];
} lock __attribute__((aligned(128)));

struct node {
    struct node *next;
    u32 wait;
    u64 padding[14];
};
static struct node nodes[MAX_CPUS] __attribute__((aligned(128)));
static struct node *tail;

/* LL/SC ---------------------------------------------------------------------------------------------------------- */

static void llsc_lock(void)
{
    u32 value;

    __asm__ volatile("1: ldaxr %w0, [%1]\n"
                     "   cbnz %w0, 1b\n"
                     "   stxr %w0, %w2, [%1]\n"
                     "   cbnz %w0, 1b\n"
                     : "=&r"(value)
                     : "r"(&lock.word), "r"(1)
                     : "memory");
}

static void llsc_wfe_lock(void)
{
    u32 value;

    __asm__ volatile("   sevl\n"
                     "1: wfe\n"
                     "2: ldaxr %w0, [%1]\n"
                     "   cbnz %w0, 1b\n"
                     "   stxr %w0, %w2, [%1]\n"
                     "   cbnz %w0, 2b\n"
                     : "=&r"(value)
                     : "r"(&lock.word), "r"(1)
                     : "memory");
}

static void plain_unlock(void)
{
    __asm__ volatile("stlr wzr, [%0]" : : "r"(&lock.word) : "memory");
}

static void llsc_add(void)
{
    u64 value;
    u32 failed;

    __asm__ volatile("1: ldxr %0, [%2]\n"
                     "   add %0, %0, #1\n"
                     "   stxr %w1, %0, [%2]\n"
                     "   cbnz %w1, 1b\n"
                     : "=&r"(value), "=&r"(failed)
                     : "r"(&counter.value)
                     : "memory");
}

/* LSE ------------------------------------------------------------------------------------------------------------ */

static void swp_lock(void)
{
    u32 old;

    do
        __asm__ volatile(".arch_extension lse\n swpa %w2, %w0, [%1]" : "=&r"(old) : "r"(&lock.word), "r"(1) : "memory");
    while (old);
}

static void swp_wfe_lock(void)
{
    for (;;) {
        u32 old;

        __asm__ volatile(".arch_extension lse\n swpa %w2, %w0, [%1]" : "=&r"(old) : "r"(&lock.word), "r"(1) : "memory");
        if (!old)
            return;
        while (LOAD_ACQUIRE(&lock.word))
            WFE();
    }
}

static void plain_unlock_sev(void)
{
    plain_unlock();
    SEV();
}

static void cas_lock(void)
{
    u32 old;

    do {
        old = 0;
        __asm__ volatile(".arch_extension lse\n casa %w0, %w2, [%1]" : "+&r"(old) : "r"(&lock.word), "r"(1) : "memory");
    } while (old);
}

static void lse_add(void)
{
    u64 old;

    __asm__ volatile(".arch_extension lse\n ldadd %2, %0, [%1]" : "=&r"(old) : "r"(&counter.value), "r"(1UL) : "memory");
}

/* Ticket --------------------------------------------------------------------------------------------------------- */

static void ticket_lock(void)
{
    u32 ticket = __atomic_fetch_add(&lock.word, 1, __ATOMIC_RELAXED);

    while (LOAD_ACQUIRE(&lock.owner) != ticket)
        ;
}

static void ticket_wfe_lock(void)
{
    u32 ticket = __atomic_fetch_add(&lock.word, 1, __ATOMIC_RELAXED);

    while (LOAD_ACQUIRE(&lock.owner) != ticket)
        WFE();
}

static void ticket_unlock(void)
{
    STORE_RELEASE(&lock.owner, lock.owner + 1);
}

static void ticket_wfe_unlock(void)
{
    ticket_unlock();
    SEV();
}

/* MCS ------------------------------------------------------------------------------------------------------------ */

static void mcs_lock_by(bool wfe)
{
    struct node *self = &nodes[smp_self()], *before;
    u32 value;

    self->next = 0;
    self->wait = 1;
    before = __atomic_exchange_n(&tail, self, __ATOMIC_ACQ_REL);
    if (!before)
        return;
    STORE_RELEASE(&before->next, self);
    if (wfe)
        __asm__ volatile("   sevl\n"
                         "1: wfe\n"
                         "   ldaxr %w0, [%1]\n"
                         "   cbnz %w0, 1b\n"
                         : "=&r"(value)
                         : "r"(&self->wait)
                         : "memory");
    else
        while (LOAD_ACQUIRE(&self->wait))
            ;
}

static void mcs_lock(void)
{
    mcs_lock_by(false);
}

static void mcs_wfe_lock(void)
{
    mcs_lock_by(true);
}

static void mcs_unlock(void)
{
    struct node *self = &nodes[smp_self()], *next = LOAD_ACQUIRE(&self->next);

    if (!next) {
        struct node *expected = self;

        if (__atomic_compare_exchange_n(&tail, &expected, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            return;
        /* One is about to queue behind: it has no more than a store to do. */
        while (!(next = LOAD_ACQUIRE(&self->next)))
            YIELD();
    }
    STORE_RELEASE(&next->wait, 0);
}

/* Broken --------------------------------------------------------------------------------------------------------- */

static u32 broken_turns[MAX_CPUS];

static void now_and_then(void)
{
    if (++broken_turns[smp_self()] % 15 == 0) /* odd: in the gap and under the lock by turns */
        YIELD();
}

static void broken_lock(void)
{
    while (*(volatile u32 *)&lock.word)
        YIELD();
    now_and_then();
    *(volatile u32 *)&lock.word = 1;
}

/* The kinds ------------------------------------------------------------------------------------------------------ */

static const struct kind {
    const char *name;
    void (*lock)(void); /* 0: unlock() is an atomic increment */
    void (*unlock)(void);
    bool lse, in_order, broken;
} kinds[] = {
    {.name = "llsc", .lock = llsc_lock, .unlock = plain_unlock},
    {.name = "llsc-wfe", .lock = llsc_wfe_lock, .unlock = plain_unlock},
    {.name = "llsc-add", .unlock = llsc_add},
    {.name = "lse-swp", .lock = swp_lock, .unlock = plain_unlock, .lse = true},
    {.name = "lse-swp-wfe", .lock = swp_wfe_lock, .unlock = plain_unlock_sev, .lse = true},
    {.name = "lse-cas", .lock = cas_lock, .unlock = plain_unlock, .lse = true},
    {.name = "lse-add", .unlock = lse_add, .lse = true},
    {.name = "ticket", .lock = ticket_lock, .unlock = ticket_unlock, .in_order = true},
    {.name = "ticket-wfe", .lock = ticket_wfe_lock, .unlock = ticket_wfe_unlock},
    {.name = "mcs", .lock = mcs_lock, .unlock = mcs_unlock, .in_order = true},
    {.name = "mcs-wfe", .lock = mcs_wfe_lock, .unlock = mcs_unlock},
    {.name = "broken", .lock = broken_lock, .unlock = plain_unlock, .broken = true},
};

static u64 work(u64 number)
{
    const struct kind *kind = &kinds[number];
    u32 count = kind->in_order ? increments_in_order : increments;

    smp_meet(&barrier, smp_count);
    for (u32 i = 0; i < count; i++) {
        if (kind->lock) {
            u64 value;

            kind->lock();
            value = counter.value;
            if (kind->broken)
                now_and_then();
            else
                __asm__ volatile("b 1f; 1:" : : : "memory"); /* a place to be stopped at */
            counter.value = value + 1;
        }
        kind->unlock();
    }
    smp_meet(&barrier, smp_count);
    return 0;
}

int main(void)
{
    bool has_lse = READ_SYSREG(id_aa64isar0_el1) >> 20 & 0xf;
    bool right = true;

    smp_start_all();
    smp_printf("torture: %u CPUs, %u increments each, %u where the order is fixed\n", smp_count, increments,
               increments_in_order);
    for (u32 number = 0; number < sizeof kinds / sizeof *kinds; number++) {
        const struct kind *kind = &kinds[number];
        u64 expected = (u64)smp_count * (kind->in_order ? increments_in_order : increments);

        if (kind->lse && !has_lse) {
            smp_printf("%s skipped: ID_AA64ISAR0_EL1.Atomic is 0\n", kind->name);
            continue;
        }
        counter.value = 0;
        lock.word = lock.owner = 0;
        tail = 0;
        for (unsigned cpu = 1; cpu < smp_count; cpu++)
            smp_call(cpu, work, number);
        work(number);
        for (unsigned cpu = 1; cpu < smp_count; cpu++)
            smp_join(cpu);
        smp_printf("%s %lu of %lu %s\n", kind->name, counter.value, expected, counter.value == expected ? "right" : "LOST");
        if (kind->broken)
            smp_printf("the broken lock was %s\n", counter.value == expected ? "not caught" : "caught");
        else
            right = right && counter.value == expected;
    }
    smp_printf("torture: %s\n", right ? "all right" : "WRONG");
    return right ? 0 : 1;
}
