/* System calls that confine a process. glibc wraps some of them not at all, others only under _GNU_SOURCE, and prctl is
 * variadic. Each function is one system call and returns its value or -errno. Single-threaded callers only: glibc's own
 * set*id wrappers would signal every thread, these do not. */
#ifndef BH_JAIL_H
#define BH_JAIL_H

#include <errno.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/prctl.h>

/* Any system call, for what has no wrapper here; tests use it to try what a jail must refuse. */
static inline long bh_syscall(long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                              unsigned long e, unsigned long f) {
    long result = syscall(number, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}

/* Files */

/* `flags`: 0 closes, 4 (CLOSE_RANGE_CLOEXEC) marks close-on-exec. */
static inline int bh_close_range(unsigned first, unsigned last, unsigned flags) {
    return syscall(SYS_close_range, first, last, flags) < 0 ? -errno : 0;
}
/* A copy of `fd` at the first free number from `lowest` on, close-on-exec. */
static inline int bh_dup_above(int fd, int lowest) {
    long copy = syscall(SYS_fcntl, fd, 1030 /* F_DUPFD_CLOEXEC */, lowest);
    return copy < 0 ? -errno : (int)copy;
}
/* `flags`: 0, or 02000000 (O_CLOEXEC). */
static inline int bh_dup_to(int fd, int number, int flags) {
    return syscall(SYS_dup3, fd, number, flags) < 0 ? -errno : 0;
}
/* Executes the file behind `fd`; returns only if it failed. */
static inline int bh_exec_file(int fd, char *const *argv, char *const *envp) {
    return syscall(SYS_execveat, fd, "", argv, envp, 0x1000 /* AT_EMPTY_PATH */) < 0 ? -errno : 0;
}

/* Identity */

static inline int bh_clear_groups(void) { return syscall(SYS_setgroups, 0, (void *)0) < 0 ? -errno : 0; }
static inline int bh_set_gid(uint32_t gid) { return syscall(SYS_setresgid, gid, gid, gid) < 0 ? -errno : 0; }
static inline int bh_set_uid(uint32_t uid) { return syscall(SYS_setresuid, uid, uid, uid) < 0 ? -errno : 0; }
static inline int bh_prctl(int operation, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
    long result = syscall(SYS_prctl, operation, a, b, c, d);
    return result < 0 ? -errno : (int)result;
}
/* Sets the permitted and the effective set to `capabilities` (bit n is capability n) and clears the inheritable set. */
static inline int bh_set_capabilities(uint64_t capabilities) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    uint32_t low = (uint32_t)capabilities, high = (uint32_t)(capabilities >> 32);
    struct __user_cap_data_struct data[2] = {{low, low, 0}, {high, high, 0}};
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Namespaces and the root directory */

static inline int bh_unshare(unsigned long flags) { return syscall(SYS_unshare, flags) < 0 ? -errno : 0; }
static inline int bh_set_hostname(const char *name, size_t length) {
    return syscall(SYS_sethostname, name, length) < 0 ? -errno : 0;
}
/* No mount event crosses to or from the namespace that this one was copied from. */
static inline int bh_make_mounts_private(void) {
    return syscall(SYS_mount, (void *)0, "/", (void *)0, (unsigned long)(MS_REC | MS_PRIVATE), (void *)0) < 0 ? -errno : 0;
}
/* A read-only tmpfs whose one inode is its root directory. */
static inline int bh_mount_empty(const char *target) {
    unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return syscall(SYS_mount, "empty", target, "tmpfs", flags, "size=4k,nr_inodes=1,mode=0555") < 0 ? -errno : 0;
}
/* Stacks the old root on the current directory, which becomes the root (pivot_root(2), "pivot_root(".", ".")"). */
static inline int bh_pivot_root_here(void) { return syscall(SYS_pivot_root, ".", ".") < 0 ? -errno : 0; }
static inline int bh_detach_here(void) { return syscall(SYS_umount2, ".", 2 /* MNT_DETACH */) < 0 ? -errno : 0; }
static inline int bh_chdir(const char *path) { return syscall(SYS_chdir, path) < 0 ? -errno : 0; }

/* Limits */

/* `resource` is RLIMIT_*; soft and hard limit become `value`. */
static inline int bh_set_limit(int resource, uint64_t value) {
    uint64_t limit[2] = {value, value};
    return syscall(SYS_prlimit64, 0, resource, limit, (void *)0) < 0 ? -errno : 0;
}

/* The hard limit of `resource`; 0 if it cannot be read. */
static inline uint64_t bh_hard_limit(int resource) {
    uint64_t limit[2] = {0, 0};
    return syscall(SYS_prlimit64, 0, resource, (void *)0, limit) < 0 ? 0 : limit[1];
}

/* seccomp(2) */

struct bh_filter_instruction { /* struct sock_filter of <linux/filter.h> */
    uint16_t code;
    uint8_t jump_true;
    uint8_t jump_false;
    uint32_t value;
};
/* Puts a filter on the calling thread. Needs no_new_privs or CAP_SYS_ADMIN. */
static inline int bh_install_filter(const struct bh_filter_instruction *instructions, uint16_t count) {
    struct {
        uint16_t count;
        const struct bh_filter_instruction *instructions;
    } program = {count, instructions}; /* struct sock_fprog */
    return syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, &program) < 0 ? -errno : 0;
}

/* Landlock (Documentation/userspace-api/landlock.rst). The structures are spelled out: the build machine's headers may
 * be older than the kernel that runs this. */

struct bh_landlock_ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* from ABI 4 */
    uint64_t scoped;             /* from ABI 6 */
};
struct bh_landlock_path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

/* The ABI version, or -ENOSYS, or -EOPNOTSUPP where Landlock is built in but not switched on. */
static inline int bh_landlock_abi(void) {
    long abi = syscall(444 /* landlock_create_ruleset */, (void *)0, 0, 1);
    return abi < 0 ? -errno : (int)abi;
}
static inline int bh_landlock_create(const struct bh_landlock_ruleset *ruleset, size_t size) {
    long fd = syscall(444 /* landlock_create_ruleset */, ruleset, size, 0);
    return fd < 0 ? -errno : (int)fd;
}
static inline int bh_landlock_allow_beneath(int ruleset, const struct bh_landlock_path_beneath *rule) {
    return syscall(445 /* landlock_add_rule */, ruleset, 1 /* PATH_BENEATH */, rule, 0) < 0 ? -errno : 0;
}
static inline int bh_landlock_restrict_self(int ruleset) {
    return syscall(446 /* landlock_restrict_self */, ruleset, 0) < 0 ? -errno : 0;
}

#endif
