#ifndef SAMPLES_EXITS_DEVICETREE_H
#define SAMPLES_EXITS_DEVICETREE_H

#include <stdbool.h>

/* Whether there is a device tree at this address and the text stands anywhere in it. */
bool devicetree_contains(unsigned long address, const char *text);

#endif
