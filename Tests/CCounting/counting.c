// Counts the allocations of one thread: the executable's malloc takes the place of the C library's.
#include "counting.h"

#include <stdbool.h>
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Thread_local bool is_on;
static _Thread_local uint64_t found;

static inline void allocated(void) {
  if (is_on) found++;
}

void *malloc(size_t size) {
  allocated();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  allocated();
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  allocated();
  return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  allocated();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  allocated();
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : 12;
}

void counting_begin(void) {
  found = 0;
  is_on = true;
}

void counting_resume(void) { is_on = true; }
void counting_pause(void) { is_on = false; }
uint64_t counting_allocations(void) { return found; }
