/*
 * context: what is each CPU's own stays each CPU's own, and what is shared is seen by all, over many turns.
 *
 *   context      `rounds` times on every CPU at once: x0-x30, SP, V0-V31, FPCR, FPSR, NZCV, system registers, pointer
 *                authentication keys and SVE registers (where there are any), and pages that have one virtual address
 *                and another physical address on each CPU
 *   tlbi         one CPU changes a page of shared tables and broadcasts TLBI; all see the new one
 *   code         one CPU patches code and broadcasts IC; all run the new one
 *   exclusive    LDXR here, a store by another CPU, STXR here has to fail
 *
 * One line a check, "ok NAME" or "FAIL NAME got G expected E" (for the first difference of a CPU the name says where); the
 * last line is "context: N ok, M failed", and the status of the run is 1 if any failed. The words `rounds` and `handshakes`
 * of .data may be patched.
 *
 * QEMU 7.2 differs from the architecture where its lines end in "(as QEMU 7.2)": its STXR looks at the value, so that a store
 * of the same value, or of another and the first one again, goes unseen. With -accel tcg,thread=single it takes a second;
 * with threads on fewer host CPUs it may take minutes.
 */

#include "context.h"

volatile u32 rounds = 10000;
volatile u32 handshakes = 200;

#define PAGES 16
#define PAGE_WORDS 512
#define OWN_VA 0x80000000UL
#define SHARED_VA 0xc0000000UL
#define PTE_NG (1UL << 11)
#define SVE_BYTES (34 * 256 + 32) /* 32 of Z, 16 of P and FFR of an eighth each */

typedef u64 page[PAGE_WORDS] __attribute__((aligned(4096)));

static page level1[MAX_CPUS], level2[MAX_CPUS], level3[MAX_CPUS], own_pages[MAX_CPUS][PAGES];
static page shared_level2, shared_level3, shared_pages[PAGES];

/* SP points to an area in the stretch: an exception needs room below. */
static struct {
    u64 room[128];
    struct area area;
} areas[MAX_CPUS] __attribute__((aligned(4096)));
static u8 sve_in[MAX_CPUS][SVE_BYTES] __attribute__((aligned(256))), sve_out[MAX_CPUS][SVE_BYTES] __attribute__((aligned(256)));

static struct smp_barrier barrier;
static bool has_pauth, has_sve;

static struct difference {
    const char *what;
    u64 number, got, expected, count;
} differences[MAX_CPUS];

static u64 hash(u64 a, u64 b, u64 c)
{
    u64 value = (a + 1) * 0x9e3779b97f4a7c15UL ^ (b + 1) * 0xc2b2ae3d27d4eb4fUL ^ (c + 1) * 0x165667b19e3779f9UL;

    value ^= value >> 29;
    value *= 0xbf58476d1ce4e5b9UL;
    return value ^ value >> 32;
}

static void compare(const char *what, u64 number, u64 got, u64 expected)
{
    struct difference *it = &differences[smp_self()];

    if (got == expected)
        return;
    if (!it->count++) {
        it->what = what;
        it->number = number;
        it->got = got;
        it->expected = expected;
    }
}

/* The registers of the stretch ----------------------------------------------------------------------------------- */

static void fill(struct image *image, unsigned cpu, u32 round)
{
    for (u32 i = 0; i < 31; i++)
        image->x[i] = hash(cpu, i, round);
    for (u32 i = 0; i < 64; i++)
        image->q[i] = hash(cpu, 100 + i, round);
    image->nzcv = (u64)((cpu ^ round) & 0xf) << 28;
    image->fpcr = (u64)(cpu & 3) << 22 | (u64)(cpu >> 2 & 1) << 24 | (u64)(round & 1) << 25;
    image->fpsr = (hash(cpu, 200, round) & 0x9f) | (u64)(cpu & 1) << 27;
    image->fpsr &= ~0x60UL;
}

static void compare_images(const struct area *area)
{
    for (u32 i = 0; i < 31; i++)
        compare("x", i, area->out.x[i], area->in.x[i]);
    for (u32 i = 0; i < 64; i++)
        compare("v-half", i, area->out.q[i], area->in.q[i]);
    compare("nzcv", 0, area->out.nzcv, area->in.nzcv);
    compare("fpcr", 0, area->out.fpcr, area->in.fpcr);
    compare("fpsr", 0, area->out.fpsr, area->in.fpsr);
}

/* System registers ----------------------------------------------------------------------------------------------- */

#define SYSTEM_REGISTERS(X)                                                                          \
    X(tpidr_el0, h)                                                                                  \
    X(tpidr_el1, h)                                                                                  \
    X(tpidrro_el0, h)                                                                                \
    X(sp_el0, h)                                                                                     \
    X(contextidr_el1, h & 0xffffffff)                                                                \
    X(elr_el1, h & 0xfffffffffffcUL)                                                                 \
    X(spsr_el1, (h & 0xf0000000) | 0x3c5)                                                            \
    X(esr_el1, h & 0xffffffff)                                                                       \
    X(far_el1, h)                                                                                    \
    X(mair_el1, MAIR_VALUE | (cpu & 1 ? 0x44000000UL : 0xbb0000UL) | (u64)(cpu << 2 & 0xc) << 32)    \
    X(par_el1, (h & 0xfffffff000UL) | 0xff00000000000b80UL)                                          \
    X(ttbr1_el1, h & 0xfffffff000UL)                                                                 \
    X(cntkctl_el1, (u64)(cpu << 4) | 3)                                                              \
    X(cntv_cval_el0, h)                                                                              \
    X(cntp_cval_el0, h)                                                                              \
    X(csselr_el1, cpu & 3)

#define WRITE_ONE(name, value)      \
    h = hash(cpu, 600, seed++);     \
    WRITE_SYSREG(name, value);
#define COMPARE_ONE(name, value)     \
    h = hash(cpu, 600, seed++);      \
    compare(#name, 0, READ_SYSREG(name), value);

static void write_or_compare(unsigned cpu, u32 seed, bool write)
{
    u64 h;

    if (write) {
        SYSTEM_REGISTERS(WRITE_ONE)
        ISB();
    } else {
        SYSTEM_REGISTERS(COMPARE_ONE)
    }
}

static void compare_fixed(unsigned cpu)
{
    compare("ttbr0_el1", 0, READ_SYSREG(ttbr0_el1), (u64)level1[cpu]);
    compare("vbar_el1", 0, READ_SYSREG(vbar_el1), (u64)smp_vectors[cpu]);
    compare("mpidr_el1", 0, READ_SYSREG(mpidr_el1) & 0xffffff, cpu);
}

/* Pointer authentication keys ------------------------------------------------------------------------------------ */

#define KEYS(X)                                                                                          \
    X(S3_0_C2_C1_0, 0) X(S3_0_C2_C1_1, 1) X(S3_0_C2_C1_2, 2) X(S3_0_C2_C1_3, 3) X(S3_0_C2_C2_0, 4)       \
    X(S3_0_C2_C2_1, 5) X(S3_0_C2_C2_2, 6) X(S3_0_C2_C2_3, 7) X(S3_0_C2_C3_0, 8) X(S3_0_C2_C3_1, 9)
#define WRITE_KEY(name, number) WRITE_SYSREG(name, hash(cpu, 300 + number, 0));
#define COMPARE_KEY(name, number) compare("pauth-key", number, READ_SYSREG(name), hash(cpu, 300 + number, 0));

static void write_keys(unsigned cpu)
{
    KEYS(WRITE_KEY)
    WRITE_SYSREG(sctlr_el1, READ_SYSREG(sctlr_el1) | 1UL << 31); /* EnIA */
    ISB();
}

static void compare_keys(unsigned cpu)
{
    KEYS(COMPARE_KEY)
}

static u64 sign(u64 pointer)
{
    register u64 x17 __asm__("x17") = pointer;
    register u64 x16 __asm__("x16") = 0x1234;

    __asm__ volatile("hint #8" : "+r"(x17) : "r"(x16)); /* PACIA1716 */
    return x17;
}

/* SVE ------------------------------------------------------------------------------------------------------------ */

#define READ_ZCR() READ_SYSREG(S3_0_C1_C2_0)
#define WRITE_ZCR(value) WRITE_SYSREG(S3_0_C1_C2_0, value)

static void set_up_sve(unsigned cpu)
{
    WRITE_SYSREG(cpacr_el1, 3 << 20 | 3 << 16);
    ISB();
    WRITE_ZCR(cpu & 1); /* vectors of 128 and 256 bits by turns, if there are such */
    ISB();
    for (u32 i = 0; i < SVE_BYTES; i++)
        sve_in[cpu][i] = hash(cpu, 400, i);
    /* FFR may only have its first bits set. */
    for (u32 i = 0, length = context_sve_length(); i < length / 8; i++)
        sve_in[cpu][34 * length + i] = i == 0 ? (1u << (cpu & 7)) - 1 : 0;
}

static void round_sve(unsigned cpu, u64 length)
{
    u64 used = 32 * length + 17 * length / 8;

    compare("sve-length", 0, context_sve_length(), length);
    compare("zcr_el1", 0, READ_ZCR(), cpu & 1);
    context_sve_stretch(sve_in[cpu], sve_out[cpu]);
    for (u32 i = 0; i + 8 <= used; i += 8)
        compare("sve-at", i, *(u64 *)(sve_out[cpu] + i), *(u64 *)(sve_in[cpu] + i));
}

/* Pages ---------------------------------------------------------------------------------------------------------- */

static void make_tables(void)
{
    for (unsigned cpu = 0; cpu < smp_count; cpu++) {
        for (u32 i = 0; i < PAGE_WORDS; i++)
            level1[cpu][i] = smp_level1[i];
        level1[cpu][OWN_VA >> 30] = (u64)level2[cpu] | PTE_TABLE;
        level1[cpu][SHARED_VA >> 30] = (u64)shared_level2 | PTE_TABLE;
        level2[cpu][0] = (u64)level3[cpu] | PTE_TABLE;
        for (u32 i = 0; i < PAGES; i++) {
            level3[cpu][i] = (u64)own_pages[cpu][i] | PTE_NORMAL | PTE_AF | PTE_NG | PTE_PAGE;
            own_pages[cpu][i][0] = hash(cpu, 500, i);
        }
    }
    shared_level2[0] = (u64)shared_level3 | PTE_TABLE;
    shared_level3[0] = (u64)shared_pages[0] | PTE_NORMAL | PTE_AF | PTE_NG | PTE_PAGE;
    for (u32 i = 0; i < PAGES; i++)
        shared_pages[i][0] = i;
    DSB(ish);
}

static void round_pages(unsigned cpu, u32 round)
{
    for (u32 i = 0; i < PAGES; i++) {
        volatile u64 *own = (u64 *)(OWN_VA + i * 4096);

        compare("own-page", i, own[0], hash(cpu, 500, i));
        own[1] = round;
        compare("own-page-behind", i, *(volatile u64 *)&own_pages[cpu][i][1], round);
    }
}

/* All of it ------------------------------------------------------------------------------------------------------ */

static u64 go_round(u64 unused)
{
    unsigned cpu = smp_self();
    struct area *area = &areas[cpu].area;
    u64 signature = 0, sve_length = 0;

    (void)unused;
    smp_mmu_on(level1[cpu]);
    if (has_pauth) {
        write_keys(cpu);
        signature = sign(0x40080000);
    }
    if (has_sve) {
        set_up_sve(cpu);
        sve_length = context_sve_length();
    }
    smp_meet(&barrier, smp_count);
    for (u32 round = 0; round < rounds; round++) {
        if (round % 16 == 0) {
            fill(&area->in, cpu, round);
            write_or_compare(cpu, round, true);
        }
        context_stretch(area);
        compare_images(area);
        write_or_compare(cpu, round & ~15u, false);
        compare_fixed(cpu);
        round_pages(cpu, round);
        if (has_pauth) {
            compare_keys(cpu);
            compare("pacia", 0, sign(0x40080000), signature);
        }
        if (has_sve && round % 16 == 1)
            round_sve(cpu, sve_length);
    }
    smp_meet(&barrier, smp_count);
    return signature;
}

static void on_all(smp_function function, u64 argument)
{
    for (unsigned cpu = 1; cpu < smp_count; cpu++)
        smp_call(cpu, function, argument);
    function(argument);
    for (unsigned cpu = 1; cpu < smp_count; cpu++)
        smp_join(cpu);
}

static void report(const char *name)
{
    for (unsigned cpu = 0; cpu < smp_count; cpu++) {
        struct difference *it = &differences[cpu];

        if (it->count) {
            smp_printf("note: cpu %u: %lu differences, the first at %s %lu\n", cpu, it->count, it->what, it->number);
            smp_check(it->what, it->got, it->expected);
            it->count = 0;
        } else {
            smp_check(name, 0, 0);
        }
    }
}

/* What is shared ------------------------------------------------------------------------------------------------- */

static void invalidate(u32 kind, u64 va)
{
    switch (kind % 5) {
    case 0:
        __asm__ volatile("tlbi vae1is, %0" : : "r"(va >> 12) : "memory");
        break;
    case 1:
        __asm__ volatile("tlbi vaae1is, %0" : : "r"(va >> 12) : "memory");
        break;
    case 2:
        __asm__ volatile("tlbi vale1is, %0" : : "r"(va >> 12) : "memory");
        break;
    case 3:
        __asm__ volatile("tlbi aside1is, %0" : : "r"(0UL) : "memory");
        break;
    default:
        __asm__ volatile("tlbi vmalle1is" : : : "memory");
        break;
    }
    DSB(ish);
    ISB();
}

static u64 change_pages(u64 unused)
{
    unsigned cpu = smp_self();
    volatile u64 *shared = (u64 *)SHARED_VA;

    (void)unused;
    for (u32 round = 0; round < handshakes; round++) {
        compare("tlbi-before", round, shared[0], round % PAGES);
        smp_meet(&barrier, smp_count);
        if (round % smp_count == cpu) {
            *(volatile u64 *)&shared_level3[0] = 0;
            DSB(ishst);
            invalidate(round / smp_count, SHARED_VA);
            *(volatile u64 *)&shared_level3[0] =
                (u64)shared_pages[(round + 1) % PAGES] | PTE_NORMAL | PTE_AF | PTE_NG | PTE_PAGE;
            DSB(ishst);
            ISB();
        }
        smp_meet(&barrier, smp_count);
        compare("tlbi-after", round, shared[0], (round + 1) % PAGES);
        /* Nobody starts the next round before all have looked. */
        smp_meet(&barrier, smp_count);
    }
    return 0;
}

static volatile u32 code[16] __attribute__((aligned(64)));

static void patch(u32 value)
{
    code[0] = 0x52800000 | (value & 0xffff) << 5; /* MOVZ W0, #value */
    code[1] = 0xd65f03c0;                         /* RET */
    __asm__ volatile("dc cvau, %0\n dsb ish" : : "r"(code) : "memory");
    if (value % 2)
        __asm__ volatile("ic ivau, %0" : : "r"(code) : "memory");
    else
        __asm__ volatile("ic ialluis" : : : "memory");
    DSB(ish);
    ISB();
}

static u64 change_code(u64 unused)
{
    unsigned cpu = smp_self();
    u32 (*function)(void) = (u32(*)(void))code;

    (void)unused;
    if (cpu == 0)
        patch(0);
    smp_meet(&barrier, smp_count);
    ISB();
    for (u32 round = 0; round < handshakes; round++) {
        compare("code-before", round, function(), round);
        smp_meet(&barrier, smp_count);
        if (round % smp_count == cpu)
            patch(round + 1);
        smp_meet(&barrier, smp_count);
        ISB();
        compare("code-after", round, function(), round + 1);
        smp_meet(&barrier, smp_count);
    }
    return 0;
}

/* Exclusives ----------------------------------------------------------------------------------------------------- */

enum store { READ_ONLY, DIFFERENT, SAME, BACK_AGAIN, BYTE, EXCLUSIVE, EXCLUSIVE_SAME, ATOMIC_ADD_1 };

static u64 cell __attribute__((aligned(64)));
static u32 reserved, stored;
static bool has_lse;

/* The other CPU: waits until the first one has its reservation, and stores. */
static u64 store_meanwhile(u64 kind)
{
    volatile u64 *location = &cell;
    u64 value;
    u32 failed;

    for (u32 round = 1; round <= handshakes; round++) {
        while (LOAD_ACQUIRE(&reserved) != round)
            WFE();
        value = *location;
        switch (kind) {
        case READ_ONLY:
            break;
        case DIFFERENT:
            *location = value + 1;
            break;
        case SAME:
            *location = value;
            break;
        case BACK_AGAIN:
            *location = value + 1;
            DSB(ish);
            *location = value;
            break;
        case BYTE:
            *(volatile u8 *)location = value + 1;
            break;
        case EXCLUSIVE:
        case EXCLUSIVE_SAME:
            do
                __asm__ volatile("ldxr %0, [%2]\n add %0, %0, %3\n stxr %w1, %0, [%2]"
                                 : "=&r"(value), "=&r"(failed)
                                 : "r"(&cell), "r"((u64)(kind == EXCLUSIVE))
                                 : "memory");
            while (failed);
            break;
        case ATOMIC_ADD_1:
            __asm__ volatile(".arch_extension lse\n ldadd %1, %0, [%2]" : "=&r"(value) : "r"(1UL), "r"(&cell) : "memory");
            break;
        }
        DSB(ish);
        STORE_RELEASE(&stored, round);
        SEV();
    }
    return 0;
}

/* How many STXR succeed although the other CPU has stored since LDXR. */
static u32 successes(enum store kind)
{
    u32 count = 0;

    reserved = stored = 0;
    smp_call(1, store_meanwhile, kind);
    for (u32 round = 1; round <= handshakes; round++) {
        u64 value;
        u32 failed, seen;

        __asm__ volatile("   ldxr %0, [%3]\n"
                         "   stlr %w5, [%4]\n"
                         "   dsb ish\n"
                         "   sev\n"
                         "1: yield\n"
                         "   ldar %w2, [%6]\n"
                         "   cmp %w2, %w5\n"
                         "   b.ne 1b\n"
                         "   add %0, %0, #16\n"
                         "   stxr %w1, %0, [%3]\n"
                         : "=&r"(value), "=&r"(failed), "=&r"(seen)
                         : "r"(&cell), "r"(&reserved), "r"(round), "r"(&stored)
                         : "memory", "cc");
        count += !failed;
    }
    smp_join(1);
    return count;
}

static void check_exclusives_alone(void)
{
    u64 value, spsr = READ_SYSREG(spsr_el1), elr = READ_SYSREG(elr_el1);
    u32 failed, plain = 0, after_clrex = 0, after_eret = 0, without = 0;

    for (u32 i = 0; i < handshakes; i++) {
        u32 tries = 0;

        do
            __asm__ volatile("ldxr %0, [%2]\n stxr %w1, %0, [%2]" : "=&r"(value), "=&r"(failed) : "r"(&cell) : "memory");
        while (failed && ++tries < 1000);
        plain += !failed;
        __asm__ volatile("ldxr %0, [%2]\n clrex\n stxr %w1, %0, [%2]"
                         : "=&r"(value), "=&r"(failed)
                         : "r"(&cell)
                         : "memory");
        after_clrex += !failed;
        __asm__ volatile("stxr %w1, %0, [%2]" : "+r"(value), "=&r"(failed) : "r"(&cell) : "memory");
        without += !failed;
        __asm__ volatile("   adr %0, 1f\n"
                         "   msr elr_el1, %0\n"
                         "   mov %0, #0x3c5\n"
                         "   msr spsr_el1, %0\n"
                         "   isb\n"
                         "   ldxr %0, [%2]\n"
                         "   eret\n"
                         "1: stxr %w1, %0, [%2]\n"
                         : "=&r"(value), "=&r"(failed)
                         : "r"(&cell)
                         : "memory");
        after_eret += !failed;
    }
    WRITE_SYSREG(spsr_el1, spsr);
    WRITE_SYSREG(elr_el1, elr);
    smp_check("exclusive-alone-succeeds", plain, handshakes);
    smp_check("exclusive-after-clrex", after_clrex, 0);
    smp_check("exclusive-after-stxr", without, 0);
    smp_check("exclusive-after-eret", after_eret, 0);
}

static void check_exclusives(void)
{
    check_exclusives_alone();
    if (smp_count < 2)
        return;
    smp_printf("note: exclusive-other-reads: %u of %u succeed\n", successes(READ_ONLY), handshakes);
    smp_check("exclusive-other-stores", successes(DIFFERENT), 0);
    smp_check("exclusive-other-stores-byte", successes(BYTE), 0);
    smp_check("exclusive-other-stores-exclusively", successes(EXCLUSIVE), 0);
    if (has_lse)
        smp_check("exclusive-other-adds", successes(ATOMIC_ADD_1), 0);
    smp_check_qemu("exclusive-other-stores-same", successes(SAME), 0, handshakes);
    smp_check_qemu("exclusive-other-stores-aba", successes(BACK_AGAIN), 0, handshakes);
    smp_check_qemu("exclusive-other-stores-same-exclusively", successes(EXCLUSIVE_SAME), 0, handshakes);
}

int main(void)
{
    has_pauth = READ_SYSREG(id_aa64isar1_el1) & 0xff0 || READ_SYSREG(S3_0_C0_C6_2) >> 12 & 0xf;
    has_sve = READ_SYSREG(id_aa64pfr0_el1) >> 32 & 0xf;
    has_lse = READ_SYSREG(id_aa64isar0_el1) >> 20 & 0xf;
    smp_start_all();
    smp_printf("context: %u CPUs, %u rounds, %u handshakes; pointer authentication: %s, SVE: %s\n", smp_count, rounds,
               handshakes, has_pauth ? "yes" : "no", has_sve ? "yes" : "no");
    make_tables();
    on_all(go_round, 0);
    report("context");
    if (has_pauth && smp_count > 1)
        smp_check("pacia-of-two-cpus-differs", smp_cpus[1].result != sign(0x40080000), true);
    on_all(change_pages, 0);
    report("tlbi");
    on_all(change_code, 0);
    report("code");
    check_exclusives();
    return smp_summary("context");
}
