/* Loads and stores of shared rings with the ordering of the Linux memory model (virtio 1.2 section 2.7.13).
 * All values are little endian in memory; this code supports little-endian hosts only. */
#ifndef BH_ATOMIC_H
#define BH_ATOMIC_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "virtio rings are accessed without byte swapping");

static inline uint16_t bh_load16(const void *address) {
    return __atomic_load_n((const uint16_t *)address, __ATOMIC_RELAXED);
}
static inline uint32_t bh_load32(const void *address) {
    return __atomic_load_n((const uint32_t *)address, __ATOMIC_RELAXED);
}
static inline uint64_t bh_load64(const void *address) {
    return __atomic_load_n((const uint64_t *)address, __ATOMIC_RELAXED);
}
static inline uint16_t bh_load16_acquire(const void *address) {
    return __atomic_load_n((const uint16_t *)address, __ATOMIC_ACQUIRE);
}
static inline void bh_store16(void *address, uint16_t value) {
    __atomic_store_n((uint16_t *)address, value, __ATOMIC_RELAXED);
}
static inline void bh_store32(void *address, uint32_t value) {
    __atomic_store_n((uint32_t *)address, value, __ATOMIC_RELAXED);
}
static inline void bh_store64(void *address, uint64_t value) {
    __atomic_store_n((uint64_t *)address, value, __ATOMIC_RELAXED);
}
static inline void bh_store16_release(void *address, uint16_t value) {
    __atomic_store_n((uint16_t *)address, value, __ATOMIC_RELEASE);
}
/* Full barrier: "set the flag, then look again" needs store-to-load ordering. */
static inline void bh_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/* Spin-wait hint. */
static inline void bh_cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

#endif
