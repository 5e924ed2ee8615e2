/* Volatile access to device registers. Swift has no volatile: each load and store here happens exactly once, at its
 * width, in program order against the other volatile accesses. Bounds are the caller's business (DriverKit's Bar). */
#ifndef BH_MMIO_H
#define BH_MMIO_H

#include <stdint.h>

static inline uint8_t bh_mmio_read8(const volatile void *address) { return *(const volatile uint8_t *)address; }
static inline uint16_t bh_mmio_read16(const volatile void *address) { return *(const volatile uint16_t *)address; }
static inline uint32_t bh_mmio_read32(const volatile void *address) { return *(const volatile uint32_t *)address; }
static inline uint64_t bh_mmio_read64(const volatile void *address) { return *(const volatile uint64_t *)address; }
static inline void bh_mmio_write8(volatile void *address, uint8_t value) { *(volatile uint8_t *)address = value; }
static inline void bh_mmio_write16(volatile void *address, uint16_t value) { *(volatile uint16_t *)address = value; }
static inline void bh_mmio_write32(volatile void *address, uint32_t value) { *(volatile uint32_t *)address = value; }
static inline void bh_mmio_write64(volatile void *address, uint64_t value) { *(volatile uint64_t *)address = value; }

/* Orders earlier stores to DMA memory before a following doorbell write. */
static inline void bh_dma_write_barrier(void) {
#if defined(__x86_64__)
    __asm__ volatile("" ::: "memory"); /* x86 keeps stores in order, write-back before uncached included */
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}
/* Orders a load of DMA memory that shows an entry is valid before the loads of the entry. */
static inline void bh_dma_read_barrier(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }

#endif
