/*
 * permission: accesses that stage 2 forbids.  permission.toml gives the guest a
 * read-only region with a text in it and a region that is not executable; a
 * forbidden access becomes a synchronous external abort, which the guest catches:
 *
 *   ROM says: This text is in ROM.
 *   write to ROM: ESR 0x96000050 FAR 0x0000000010000000
 *   ROM still says: This text is in ROM.
 *   data region holds 0xd65f03c0
 *   jump to data: ESR 0x86000010 FAR 0x0000000011000000
 *   permission faults: 2 caught
 *
 * With permission-stop.toml the first forbidden access ends the run instead.
 */

#include "exception.h"
#include "smccc.h"
#include "uart.h"

#include <stdint.h>

#define ROM_BASE 0x10000000UL
#define DATA_BASE 0x11000000UL
#define INSTRUCTION_RET 0xd65f03c0u

static unsigned caught;

static void print_rom(const char *title)
{
    const volatile char *rom = (const volatile char *)ROM_BASE;

    uart_puts(title);
    for (unsigned i = 0; i < 64 && rom[i] >= ' ' && rom[i] <= '~'; i++)
        uart_putc(rom[i]);
    uart_putc('\n');
}

static void report(const char *access)
{
    struct fault fault = fault_taken();

    if (!fault.taken) {
        uart_printf("%s: no fault\n", access);
        return;
    }
    caught++;
    uart_printf("%s: ESR 0x%08lx FAR 0x%016lx\n", access, fault.esr, fault.far);
}

__attribute__((noipa)) static void write_word(unsigned long address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}

void main(void)
{
    uart_init();
    print_rom("ROM says: ");

    fault_expect();
    write_word(ROM_BASE, 0);
    report("write to ROM");
    print_rom("ROM still says: ");

    write_word(DATA_BASE, INSTRUCTION_RET);
    uart_printf("data region holds 0x%x\n", *(volatile uint32_t *)DATA_BASE);

    fault_expect();
    ((void (*)(void))DATA_BASE)();
    report("jump to data");

    uart_printf("permission faults: %u caught\n", caught);
    psci_system_off();
}
