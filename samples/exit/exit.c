/*
 * exit: a guest that gives itself an exit status, through the semihosting
 * operation SYS_EXIT_EXTENDED.
 *
 *   Leaving with status 7
 *
 * The status of the run is then 7.
 */

#include "semihosting.h"
#include "uart.h"

void main(void)
{
    uart_init();
    uart_puts("Leaving with status 7\n");
    semihosting_exit(7);
}
