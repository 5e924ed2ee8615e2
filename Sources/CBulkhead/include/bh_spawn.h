/* clone3 + exec of a child that has its own session and process ids, in its own cgroup, with exactly the files it is given. */
#ifndef BH_SPAWN_H
#define BH_SPAWN_H

struct bh_spawn {
    int executable;        /* file to exec (execveat, AT_EMPTY_PATH) */
    char *const *argv;
    char *const *envp;
    const int *files;      /* files[i] becomes file number i in the child; -1 leaves i closed */
    unsigned file_count;   /* at most 64 */
    int cgroup;            /* cgroup v2 directory, or -1 */
    int new_pid_namespace; /* the child is process 1 of its own */
    int new_user_namespace; /* the child is root in a user namespace of its own, with the caller's user and group in it */
    int die_with_parent;    /* the child gets SIGKILL when the calling thread ends */
};

/* Returns the pid in the caller's namespace and stores a pidfd, or returns -errno. The child leaves with status 127
 * where exec fails, and with 126 where its user namespace cannot be set up. Safe in a multi-threaded caller: only system calls between clone and exec. */
int bh_spawn(const struct bh_spawn *spec, int *pidfd);

#endif
