/*
 * tap: a guest that tests something, and reports it by the Test Anything
 * Protocol (TAP).
 *
 *   TAP version 13
 *   1..4
 *   ok 1 - sorts numbers
 *   ok 2 - sorts nothing
 *   ok 3 - keeps equal numbers
 *   ok 4 - sorts on two CPUs # SKIP there is one
 *
 * The status of the run is the number of tests that fail.
 */

#include "semihosting.h"
#include "uart.h"

static void sort(int *numbers, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        for (unsigned j = i; j > 0 && numbers[j - 1] > numbers[j]; j--) {
            int larger = numbers[j - 1];

            numbers[j - 1] = numbers[j];
            numbers[j] = larger;
        }
}

static int is_sorted(const int *numbers, unsigned count)
{
    for (unsigned i = 1; i < count; i++)
        if (numbers[i - 1] > numbers[i])
            return 0;
    return 1;
}

static unsigned tests, failures;

static void check(int passed, const char *name)
{
    tests++;
    if (!passed)
        failures++;
    uart_printf("%sok %u - %s\n", passed ? "" : "not ", tests, name);
}

void main(void)
{
    int numbers[] = {5, -3, 8, 0, 2};
    int equal[] = {2, 1, 2, 1};

    uart_init();
    uart_puts("TAP version 13\n1..4\n");
    sort(numbers, 5);
    check(is_sorted(numbers, 5), "sorts numbers");
    sort(numbers, 0);
    check(is_sorted(numbers, 5), "sorts nothing");
    sort(equal, 4);
    check(equal[0] == 1 && equal[1] == 1 && equal[2] == 2 && equal[3] == 2, "keeps equal numbers");
    check(1, "sorts on two CPUs # SKIP there is one");
    semihosting_exit(failures);
}
