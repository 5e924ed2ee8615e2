/* Sums over the bytes of a frame. */
#ifndef BH_CHECKSUM_H
#define BH_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The Internet checksum's sum (RFC 1071), folded to 16 bits and not complemented; bytes count as big-endian words, and an
 * odd one at the end as the upper half of a word. `sum` is what was added before. */
static inline uint16_t bh_internet_sum(const void *bytes, size_t length, uint32_t sum) {
    const uint8_t *from = (const uint8_t *)bytes;
    uint64_t wide = sum;
    for (; length >= 2; length -= 2, from += 2) wide += (uint32_t)from[0] << 8 | from[1];
    if (length) wide += (uint32_t)from[0] << 8;
    while (wide >> 16) wide = (wide & 0xFFFF) + (wide >> 16);
    return (uint16_t)wide;
}

/* The check sequence of an Ethernet frame (IEEE 802.3 section 3.2.9); its lowest byte is sent first. */
static inline uint32_t bh_frame_check_sequence(const void *bytes, size_t length) {
    const uint8_t *from = (const uint8_t *)bytes;
    uint32_t value = 0xFFFFFFFFu;
    while (length--) {
        value ^= *from++;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
    }
    return ~value;
}

#endif
