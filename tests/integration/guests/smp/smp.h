/*
 * The runtime of the guests with several CPUs.
 *
 * main() runs on the CPU that boots. The others are started by PSCI, come up with a stack, vectors, FP and SIMD, and
 * (unless the word smp_use_mmu is 0) the identity map with caches on; then each waits for functions to call. An
 * exception that nobody expects is printed and ends the run with status 1.
 */

#ifndef SMP_H
#define SMP_H

/* Byte offsets in struct smp_cpu and other numbers, for assembly. */
#define CPU_SHIFT 8
#define CPU_BOOT_X0 0
#define CPU_BOOT_MPIDR 8
#define CPU_BOOT_SCTLR 16
#define CPU_BOOT_DAIF 24
#define CPU_BOOT_EL 32
#define CPU_BOOT_SPSEL 40

#define MAX_CPUS 8
#define STACK_SHIFT 14
#define FRAME_SIZE 272

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

/* System registers by name, or by S<op0>_<op1>_C<n>_C<m>_<op2>. */
#define READ_SYSREG(name)                                               \
    ({                                                                  \
        u64 value_;                                                     \
        __asm__ volatile("mrs %0, " #name : "=r"(value_) : : "memory"); \
        value_;                                                         \
    })
#define WRITE_SYSREG(name, value) __asm__ volatile("msr " #name ", %0" : : "r"((u64)(value)) : "memory")

#define ISB() __asm__ volatile("isb" : : : "memory")
#define DSB(kind) __asm__ volatile("dsb " #kind : : : "memory")
#define WFI() __asm__ volatile("wfi" : : : "memory")
#define WFE() __asm__ volatile("wfe" : : : "memory")
#define YIELD() __asm__ volatile("yield" : : : "memory")
#define SEV() __asm__ volatile("dsb ish; sev" : : : "memory")
#define IRQS_OFF() __asm__ volatile("msr daifset, #2" : : : "memory")
#define IRQS_ON() __asm__ volatile("msr daifclr, #2" : : : "memory")

#define LOAD_ACQUIRE(pointer) __atomic_load_n(pointer, __ATOMIC_ACQUIRE)
#define STORE_RELEASE(pointer, value) __atomic_store_n(pointer, value, __ATOMIC_RELEASE)
#define ATOMIC_ADD(pointer, value) __atomic_add_fetch(pointer, value, __ATOMIC_ACQ_REL)

/* Device registers, by loads and stores of one register without writeback. */
static inline u32 read32(u64 address)
{
    u32 value;

    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline void write32(u64 address, u32 value)
{
    __asm__ volatile("str %w0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline u8 read8(u64 address)
{
    u32 value;

    __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline void write8(u64 address, u8 value)
{
    __asm__ volatile("strb %w0, [%1]" : : "r"((u32)value), "r"(address) : "memory");
}

static inline u64 read64(u64 address)
{
    u64 value;

    __asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline void write64(u64 address, u64 value)
{
    __asm__ volatile("str %0, [%1]" : : "r"(value), "r"(address) : "memory");
}

/* CPUs. They are numbered by Aff0; more than MAX_CPUS are left alone. */

typedef u64 (*smp_function)(u64 argument);

struct smp_cpu {
    /* As the CPU came out of CPU_ON, or the last power-down that it woke from. */
    u64 boot_x0;
    u64 boot_mpidr;
    u64 boot_sctlr;
    u64 boot_daif;
    u64 boot_el;
    u64 boot_spsel;
    u64 boot_igrpen1; /* GICv3 only */
    u64 boot_pmr;
    u64 boots;

    smp_function function; /* what to call, 0 while there is nothing to do */
    u64 argument;
    u64 result;

    bool fault_expected;
    bool fault_taken;
    u64 fault_esr;
    u64 fault_far;
} __attribute__((aligned(1 << CPU_SHIFT)));

_Static_assert(sizeof(struct smp_cpu) == 1 << CPU_SHIFT, "CPU_SHIFT");
_Static_assert(offsetof(struct smp_cpu, boot_spsel) == CPU_BOOT_SPSEL, "CPU_BOOT_SPSEL");

extern struct smp_cpu smp_cpus[MAX_CPUS];
extern unsigned smp_count; /* CPUs there are, after smp_start_all() */
extern volatile u32 smp_use_mmu;

static inline unsigned smp_self(void)
{
    return READ_SYSREG(mpidr_el1) & 0xff;
}

int main(void);

/* Called on every CPU but the first when it has come up; a guest may define its own. */
void smp_came_up(unsigned cpu);

/* Where a CPU starts: records what it finds and waits for functions to call. */
void smp_entry(void);

/* Starts CPU 1 and up until PSCI says that there is no such CPU, waits for them, and returns how many there are. */
unsigned smp_start_all(void);

/* Lets another CPU call a function; smp_join() waits for its end. */
void smp_call(unsigned cpu, smp_function function, u64 argument);
u64 smp_join(unsigned cpu);
u64 smp_call_and_join(unsigned cpu, smp_function function, u64 argument);

/* All CPUs meet here. */
struct smp_barrier {
    unsigned arrived;
    unsigned round;
};
void smp_meet(struct smp_barrier *barrier, unsigned count);

/* Ends the run. */
_Noreturn void smp_exit(u64 status);
_Noreturn void smp_power_off(void);

/* Time. */
u64 smp_now_us(void);
void smp_delay_us(u64 us);

/* Waits for a condition that needs no event; false after a time that only a failure takes. */
#define SMP_UNTIL(condition, us)                   \
    ({                                             \
        u64 end_ = smp_now_us() + (us);            \
        bool met_;                                 \
        while (!(met_ = (condition))) {            \
            if (smp_now_us() > end_)               \
                break;                             \
            YIELD();                               \
        }                                          \
        met_;                                      \
    })
#define LONG_US 3000000 /* for what has to happen; the host may be busy */
#define SHORT_US 500    /* for what must not happen */

/* A spinlock that also masks interrupts; returns what smp_unlock() needs. */
u64 smp_lock(u32 *lock);
void smp_unlock(u32 *lock, u64 daif);

/* Printing: %c %s %d %u %x %% with l and a width; a line at a time is not torn. */
__attribute__((format(printf, 1, 2))) void smp_printf(const char *format, ...);
__attribute__((format(printf, 1, 2))) void smp_printf_unlocked(const char *format, ...);

/* Checks: a line each, "ok NAME" or "FAIL NAME got G expected E". */
bool smp_check(const char *name, u64 got, u64 expected);
/* Of what QEMU 7.2 is known to answer otherwise: its failure says so. */
bool smp_check_qemu(const char *name, u64 got, u64 expected, u64 of_qemu);
/* The last line; returns the status of the run. */
u64 smp_summary(const char *guest);

/* PSCI by HVC. */
enum {
    PSCI_VERSION = 0x84000000,
    PSCI_CPU_SUSPEND = 0x84000001,
    PSCI_CPU_OFF = 0x84000002,
    PSCI_CPU_ON = 0x84000003,
    PSCI_AFFINITY_INFO = 0x84000004,
    PSCI_MIGRATE_INFO_TYPE = 0x84000006,
    PSCI_SYSTEM_OFF = 0x84000008,
    PSCI_SYSTEM_RESET = 0x84000009,
    PSCI_FEATURES = 0x8400000a,
    PSCI_SYSTEM_SUSPEND = 0x8400000e,
    PSCI_64 = 0x40000000,

    PSCI_SUCCESS = 0,
    PSCI_NOT_SUPPORTED = -1,
    PSCI_INVALID_PARAMETERS = -2,
    PSCI_DENIED = -3,
    PSCI_ALREADY_ON = -4,
    PSCI_ON_PENDING = -5,
    PSCI_INVALID_ADDRESS = -9,

    PSCI_ON = 0,
    PSCI_OFF = 1,
};

u64 smp_hvc(u64 function, u64 x1, u64 x2, u64 x3);
/* The same with a result of 32 bits and a sign, which is what PSCI returns. */
static inline long psci(u64 function, u64 x1, u64 x2, u64 x3)
{
    return (int)smp_hvc(function, x1, x2, x3);
}
long psci_cpu_on(u64 target, u64 context);
long psci_affinity_info(u64 target);

/* Exceptions. */
struct frame {
    u64 x[31];
    u64 elr;
    u64 spsr;
    u64 padding;
};
_Static_assert(sizeof(struct frame) == FRAME_SIZE, "FRAME_SIZE");

extern char smp_vectors[MAX_CPUS][0x800]; /* a table for each CPU */

/* An interrupt at EL1; a guest that takes any defines its own. */
void smp_irq(struct frame *frame);

/* Between these one synchronous exception is recorded and its instruction is skipped. */
void smp_expect_fault(void);
bool smp_fault_taken(u64 *esr);

/* Translation tables: 39 bits, 4 KiB, level 1 first; blocks of 1 GiB: devices, then RAM. */
#define PTE_VALID 1UL
#define PTE_TABLE 3UL
#define PTE_PAGE 3UL
#define PTE_DEVICE (0UL << 2 | 1UL << 53 | 1UL << 54)
#define PTE_NORMAL (1UL << 2 | 3UL << 8)
#define PTE_AF (1UL << 10)
#define MAIR_VALUE 0xff00UL

extern u64 smp_level1[512];
void smp_mmu_on(u64 *level1);

#endif
#endif
