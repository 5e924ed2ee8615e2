#include "bh_arguments.h"

static int count;
static char **values;

/* glibc hands main's arguments to the functions of .init_array, in static executables too. */
__attribute__((constructor)) static void keep_arguments(int argc, char **argv) {
    count = argc;
    values = argv;
}

int bh_argument_count(void) { return count; }
const char *bh_argument(int index) { return values[index]; }
