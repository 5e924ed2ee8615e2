#include "bh_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sched.h>

static int put(const char *path, const char *text, size_t length) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t written = write(fd, text, length);
    close(fd);
    return written == (ssize_t)length ? 0 : -1;
}

/* Makes 0 inside what `id` is outside: "0 ID 1". Without root no other line is allowed (user_namespaces(7)). No stdio:
 * the caller may have threads. */
static int map(const char *path, unsigned id) {
    char text[32] = "0 ";
    char digits[16];
    size_t length = 2;
    int count = 0;
    do digits[count++] = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    while (count > 0) text[length++] = digits[--count];
    text[length++] = ' ';
    text[length++] = '1';
    return put(path, text, length);
}

int bh_spawn(const struct bh_spawn *spec, int *pidfd) {
    struct clone_args arguments = {0};
    int fd = -1;
    if (spec->file_count > 64) return -EINVAL;
    arguments.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    arguments.pidfd = (uint64_t)(uintptr_t)&fd;
    arguments.exit_signal = SIGCHLD;
    if (spec->new_pid_namespace) arguments.flags |= CLONE_NEWPID;
    if (spec->new_user_namespace) arguments.flags |= CLONE_NEWUSER;
    const pid_t caller = getpid();
    const unsigned uid = geteuid(), gid = getegid();
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
    /* The keys and signals of the caller's terminal are the caller's alone: it ends its children in order. */
    setsid();
    /* The caller may be gone already; then nobody would send it. */
    if (spec->die_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!spec->new_pid_namespace && getppid() != caller) _exit(127);
    }
    /* Before exec, which would take the capabilities away from anybody but root. */
    if (spec->new_user_namespace) {
        if (put("/proc/self/setgroups", "deny", 4) < 0 || map("/proc/self/uid_map", uid) < 0 ||
            map("/proc/self/gid_map", gid) < 0)
            _exit(126);
    }
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

