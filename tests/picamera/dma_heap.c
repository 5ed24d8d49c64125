/* A preload library for machines whose kernel has no DMA heaps: libcamera and picamera2 are given ordinary shared memory
 * instead, which is all that a virtual camera needs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char HEAP[] = "/dev/dma_heap/linux,cma";

struct allocation { /* dma_heap_allocation_data of linux/dma-heap.h */
    uint64_t length;
    uint32_t descriptor, descriptor_flags;
    uint64_t heap_flags;
};

enum { ALLOCATE = 0xc0184800u, SYNC = 0x40086200u, SET_NAME = 0x40086201u };

typedef int opener(const char *, int, ...);

static int opened(const char *symbol, const char *path, int flags, mode_t mode) {
    if (path && !strcmp(path, HEAP))
        return memfd_create("heap", MFD_CLOEXEC);
    return ((opener *)dlsym(RTLD_NEXT, symbol))(path, flags, mode);
}

static mode_t mode_of(int flags, va_list more) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPEN(name)                                        \
    int name(const char *path, int flags, ...) {          \
        va_list more;                                     \
        va_start(more, flags);                            \
        mode_t mode = mode_of(flags, more);               \
        va_end(more);                                     \
        return opened(#name, path, flags, mode);          \
    }

OPEN(open)
OPEN(open64)

static int allocate(struct allocation *asked) {
    int memory = memfd_create("picture", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, (off_t)asked->length))
        return -1;
    asked->descriptor = (uint32_t)memory;
    return 0;
}

int ioctl(int descriptor, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    switch ((uint32_t)request) {
    case ALLOCATE:
        return allocate(argument);
    case SYNC:
    case SET_NAME:
        return 0;
    }
    return ((int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"))(descriptor, request, argument);
}
