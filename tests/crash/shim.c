/* Watch and fail the file calls of one process: LD_PRELOAD this.

   SHIM_ROOT  only files under this folder count.
   SHIM_LOG   lines are appended here, one a thing that happened, fields divided by tabs:
                create INODE PATH | mkdir PATH | rename GRAVE OLD NEW | unlink GRAVE PATH    entries of a folder
                sync INODE SIZE PATH | dirsync PATH                                          after it succeeded
                write INODE MARK | recv FD MARK | send FD STATUS                             with SHIM_MARK, see below
              GRAVE is a hard link to the file that lost its name, so that a power cut can bring it back; - = none.
   SHIM_MARK  a text: whatever starts with it in a buffer that is written to a file or received from a socket is logged;
              so is the status of each HTTP reply. `recv` and `write` stand before what follows from them, `sync` only
              after it is done, `send` before it is begun: the order in the log is the order that counts.
   SHIM_GRAVES  the folder of the graves, outside SHIM_ROOT on the same disk.

   From inside: shim_watch(root, log, graves) sets these anew; shim_arm(call, part, n, forever, errno) lets the n-th `write`
   or `sync` from now to a file with `part` in its path fail, once or from then on, or lets a write do half of its bytes
   (`short`); shim_seen() tells how many such calls there were. The log is written by bare system calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define GRAVE (PATH_MAX + 64)
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static char root[PATH_MAX];
static char part[256];
static const char *mark;
static char graves[PATH_MAX];
static int sink = -1;
static atomic_long seen, dead;
static atomic_int armed;  /* 0 nothing, 'w' write, 's' sync, 'h' short */
static long at;
static int for_ever, failure;

static int held(const char *path) {
    size_t n = strlen(root);
    return n && !strncmp(path, root, n) && (path[n] == '/' || !path[n]);
}

static void line(const char *format, ...) {
    char text[3 * PATH_MAX + 256];
    va_list rest;
    if (sink < 0) return;
    va_start(rest, format);
    int n = vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    if (n > 0 && n < (int)sizeof text) syscall(SYS_write, sink, text, n);
}

void shim_watch(const char *folder, const char *log, const char *aside) {
    snprintf(root, sizeof root, "%s", folder ? folder : "");
    snprintf(graves, sizeof graves, "%s", aside ? aside : "");
    if (sink >= 0) close(sink);
    sink = log ? syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}
__attribute__((constructor)) static void start(void) {
    mark = getenv("SHIM_MARK");
    shim_watch(getenv("SHIM_ROOT"), getenv("SHIM_LOG"), getenv("SHIM_GRAVES"));
}
void shim_arm(int call, const char *text, long n, int forever, int error) {
    armed = 0;
    snprintf(part, sizeof part, "%s", text);
    seen = 0;
    at = n;
    for_ever = forever;
    failure = error;
    armed = call;
}
long shim_seen(void) { return seen; }

/* The path of a descriptor under the root; 0 = none of ours. */
static int ours(int fd, char *path, struct stat *facts) {
    char link[64];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = root[0] && fd != sink ? readlink(link, path, PATH_MAX - 1) : -1;
    if (n > 0) path[n] = 0;
    int yes = n > 0 && path[0] == '/' && held(path) && !fstat(fd, facts);
    errno = kept;
    return yes;
}

static int fails(int call, const char *path) {
    if (armed != call || !strstr(path, part)) return 0;
    long n = ++seen;
    return n == at || (for_ever && n > at);
}

static void marks(const char *what, unsigned long where, const char *data, size_t n) {
    size_t long_ = mark ? strlen(mark) : 0;
    if (!long_ || sink < 0 || n < long_) return;
    for (const char *p = data, *end = data + n; (p = memmem(p, end - p, mark, long_)); p += long_) {
        size_t more = long_;
        while (p + more < end && more < 64 && p[more] > ' ' && p[more] < 127 && !strchr("\"',\\]}", p[more])) more++;
        line("%s\t%lu\t%.*s\n", what, where, (int)more, p);
    }
}

static void replies(int fd, const char *data, size_t n) {
    if (mark && n > 12 && !memcmp(data, "HTTP/1.1 ", 9)) line("send\t%d\t%.3s\n", fd, data + 9);
}

/* ---------------------------------------------------------------------------------------------- bytes */

static ssize_t written(int fd, const char *data, size_t n, off_t place, ssize_t (*go)(int, const void *, size_t, off_t)) {
    char path[PATH_MAX];
    struct stat facts;
    if (!ours(fd, path, &facts)) {
        replies(fd, data, n);
        return go(fd, data, n, place);
    }
    if (fails('w', path)) { errno = failure; return -1; }
    if (n > 1 && fails('h', path)) n /= 2;
    marks("write", facts.st_ino, data, n);
    return go(fd, data, n, place);
}
static ssize_t plain(int fd, const void *data, size_t n, off_t place) {
    REAL(write);
    (void)place;
    return real(fd, data, n);
}
static ssize_t placed(int fd, const void *data, size_t n, off_t place) {
    REAL(pwrite64);
    return real(fd, data, n, place);
}
ssize_t write(int fd, const void *data, size_t n) { return written(fd, data, n, 0, plain); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t place) { return written(fd, data, n, place, placed); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t place) { return written(fd, data, n, place, placed); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    char path[PATH_MAX];
    struct stat facts;
    if (ours(fd, path, &facts)) {
        if (fails('w', path)) { errno = failure; return -1; }
        for (int k = 0; k < count; k++) marks("write", facts.st_ino, parts[k].iov_base, parts[k].iov_len);
    } else if (count) replies(fd, parts[0].iov_base, parts[0].iov_len);
    return real(fd, parts, count);
}
ssize_t send(int fd, const void *data, size_t n, int flags) {
    REAL(send);
    replies(fd, data, n);
    return real(fd, data, n, flags);
}
ssize_t recv(int fd, void *data, size_t n, int flags) {
    REAL(recv);
    ssize_t got = real(fd, data, n, flags);
    if (got > 0) marks("recv", fd, data, got);
    return got;
}
ssize_t read(int fd, void *data, size_t n) {
    REAL(read);
    ssize_t got = real(fd, data, n);
    struct stat facts;
    int kept = errno;
    if (mark && got > 0 && !fstat(fd, &facts) && S_ISSOCK(facts.st_mode)) marks("recv", fd, data, got);
    errno = kept;
    return got;
}

/* ---------------------------------------------------------------------------------------------- the disk */

static int synced(int fd, int (*go)(int)) {
    char path[PATH_MAX];
    struct stat facts;
    if (!ours(fd, path, &facts)) return go(fd);
    if (fails('s', path)) { errno = failure; return -1; }
    int failed = go(fd);  /* the size of before it counts: what came meanwhile may not be on the disk */
    if (!failed && S_ISDIR(facts.st_mode)) line("dirsync\t%s\n", path);
    else if (!failed) line("sync\t%lu\t%lld\t%s\n", facts.st_ino, (long long)facts.st_size, path);
    return failed;
}
int fsync(int fd) { REAL(fsync); return synced(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return synced(fd, real); }

/* ---------------------------------------------------------------------------------------------- entries */

static int opened(int folder, const char *path, int flags, mode_t mode) {
    struct stat facts;
    char full[PATH_MAX];
    int kept = errno, creates = (flags & O_CREAT) && fstatat(folder, path, &facts, 0);
    errno = kept;
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    if (creates && fd >= 0 && ours(fd, full, &facts)) line("create\t%lu\t%s\n", facts.st_ino, full);
    return fd;
}
#define OPEN(name, head, folder, path) \
    int name head { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
        return opened(folder, path, flags, mode); \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(openat, (int folder, const char *path, int flags, ...), folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, path)

/* Where a name points, absolute; the name itself need not exist. */
static int located(const char *path, char *full) {
    char folder[PATH_MAX], *slash;
    int kept = errno, yes = 0;
    snprintf(folder, sizeof folder, "%s", path);
    if ((slash = strrchr(folder, '/'))) *slash = 0;
    const char *last = slash ? slash + 1 : path;
    if (realpath(slash ? (slash == folder ? "/" : folder) : ".", full) && strlen(full) + strlen(last) + 2 < PATH_MAX) {
        strcat(strcat(full, "/"), last);
        yes = held(full);
    }
    errno = kept;
    return yes;
}
static const char *bury(const char *full, char *grave) {
    int kept = errno;
    snprintf(grave, GRAVE, "%s/%d-%ld", graves, getpid(), ++dead);
    const char *found = graves[0] && !syscall(SYS_linkat, AT_FDCWD, full, AT_FDCWD, grave, 0) ? grave : "-";
    errno = kept;
    return found;
}
int rename(const char *old, const char *new) {
    REAL(rename);
    char from[PATH_MAX], to[PATH_MAX], grave[GRAVE];
    int mine = sink >= 0 && located(old, from) && located(new, to);
    const char *lost = mine ? bury(to, grave) : "-";
    int failed = real(old, new);
    if (mine && !failed) line("rename\t%s\t%s\t%s\n", lost, from, to);
    return failed;
}
int unlink(const char *path) {
    REAL(unlink);
    char full[PATH_MAX], grave[GRAVE];
    int mine = sink >= 0 && located(path, full);
    const char *lost = mine ? bury(full, grave) : "-";
    int failed = real(path);
    if (mine && !failed) line("unlink\t%s\t%s\n", lost, full);
    return failed;
}
int remove(const char *path) {
    struct stat facts;
    int kept = errno, folder = !lstat(path, &facts) && S_ISDIR(facts.st_mode);
    errno = kept;
    return folder ? rmdir(path) : unlink(path);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    char full[PATH_MAX];
    int failed = real(path, mode);
    if (!failed && sink >= 0 && located(path, full)) line("mkdir\t%s\n", full);
    return failed;
}
