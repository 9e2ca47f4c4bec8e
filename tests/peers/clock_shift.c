/* Shifts the wall clock of a process: loaded by LD_PRELOAD into redis-server and gwd. The file that
 * CLOCK_SHIFT names contains the shift in seconds, as an integer of eight bytes. The monotonic
 * clock stays right. faketime cannot be used, because it clashes with jemalloc. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *shift;

__attribute__((constructor)) static void open_shift(void) {
    const char *path = getenv("CLOCK_SHIFT");
    int file = path ? open(path, O_RDONLY) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) {
        shift = mapped;
    }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        now->tv_sec += *shift;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec right;
    (void)zone;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &right);
    now->tv_sec = right.tv_sec + (shift ? *shift : 0);
    now->tv_usec = right.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timeval now;
    gettimeofday(&now, NULL);
    if (result) {
        *result = now.tv_sec;
    }
    return now.tv_sec;
}
