#include "bh_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sched.h>

int bh_spawn(const struct bh_spawn *spec, int *pidfd) {
    struct clone_args arguments = {0};
    int fd = -1;
    if (spec->file_count > 64) return -EINVAL;
    arguments.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    arguments.pidfd = (uint64_t)(uintptr_t)&fd;
    arguments.exit_signal = SIGCHLD;
    if (spec->new_pid_namespace) arguments.flags |= CLONE_NEWPID;
    if (spec->cgroup >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)spec->cgroup;
    }
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0) return -errno;
    if (pid > 0) {
        *pidfd = fd;
        return (int)pid;
    }
    /* In the child. First lift every file above the final numbers, then set them down. */
    int lifted[64];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int executable = fcntl(spec->executable, F_DUPFD_CLOEXEC, 128);
    if (executable < 0) _exit(127);
    for (unsigned i = 0; i < spec->file_count; i++) {
        lifted[i] = spec->files[i] < 0 ? -1 : fcntl(spec->files[i], F_DUPFD_CLOEXEC, 128);
        if (spec->files[i] >= 0 && lifted[i] < 0) _exit(127);
    }
    for (unsigned i = 0; i < spec->file_count; i++) {
        close((int)i);
        if (lifted[i] >= 0 && dup2(lifted[i], (int)i) < 0) _exit(127);
    }
    for (int n = (int)spec->file_count; n < 128; n++) close(n);
    syscall(SYS_close_range, 128, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    syscall(SYS_execveat, executable, "", spec->argv, spec->envp, AT_EMPTY_PATH);
    _exit(127);
}

