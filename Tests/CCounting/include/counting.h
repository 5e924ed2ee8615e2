#ifndef COUNTING_H
#define COUNTING_H

#include <stdint.h>

/// Begins to count calls of malloc and its relatives on this thread, from 0.
void counting_begin(void);
/// Goes on, or pauses.
void counting_resume(void);
void counting_pause(void);
uint64_t counting_allocations(void);

#endif
