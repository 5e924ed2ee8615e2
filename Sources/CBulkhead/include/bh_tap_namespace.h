/* The network namespace of the calling thread. Each returns a value or -errno. */
#ifndef BH_TAP_NAMESPACE_H
#define BH_TAP_NAMESPACE_H

/* A file that stands for the calling thread's network namespace; close-on-exec. */
int bh_network_namespace(void);
/* Moves the calling thread into the namespace of such a file. */
int bh_enter_network_namespace(int fd);
/* Moves the calling thread into a new one. */
int bh_new_network_namespace(void);

#endif
