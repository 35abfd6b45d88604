#include "devicetree.h"

#include <stddef.h>
#include <stdint.h>

/* Header of a flattened device tree (Devicetree specification 5.2), big-endian. */
#define FDT_MAGIC 0xd00dfeedu
#define FDT_HEADER_SIZE 40
#define FDT_OFF_DT_STRINGS 12
#define FDT_ALIGNMENT 8

/* The booting protocol of Linux has the same limit. */
#define LARGEST_TREE (2u << 20)

static uint32_t read_be32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

bool devicetree_contains(unsigned long address, const char *text)
{
    const unsigned char *blob = (const unsigned char *)address;

    if (address == 0 || address % FDT_ALIGNMENT != 0 || read_be32(blob) != FDT_MAGIC)
        return false;

    /* The values of properties come before their names; behind these there may be much room (5.1). */
    uint32_t size = read_be32(blob + FDT_OFF_DT_STRINGS);

    if (size < FDT_HEADER_SIZE || size > LARGEST_TREE)
        return false;
    for (uint32_t start = FDT_HEADER_SIZE; start < size; start++) {
        size_t length = 0;

        while (text[length] && start + length < size && blob[start + length] == (unsigned char)text[length])
            length++;
        if (!text[length])
            return true;
    }
    return false;
}
