/* The arguments of this process. A static Swift executable finds none by itself where there is no /proc. */
#ifndef BH_ARGUMENTS_H
#define BH_ARGUMENTS_H

int bh_argument_count(void);
/* `index` must be below the count. */
const char *bh_argument(int index);

#endif
