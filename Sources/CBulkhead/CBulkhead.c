/* bh_atomic.h and bh_mmio.h hold static inline functions only; this file proves that they stand alone. */
#include "bh_atomic.h"
#include "bh_mmio.h"
