/*
 * ptrace(2) for user-mode Linux 6.1 on a processor with AMX.
 *
 * UML writes the floating point state of its processes back with PTRACE_SETREGSET from a buffer of 2,696 bytes, which ends
 * behind the component PKRU. The kernel of the host accepts the whole XSAVE area only (xstateregs_set() returns EFAULT), which
 * has 11,008 bytes with AMX. This function adds the rest of the area from the process: no program of a guest can use AMX.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long kernel_ptrace(long request, long pid, long address, void *data)
{
    return syscall(SYS_ptrace, request, pid, address, data);
}

static long set_state(long pid, void *data)
{
    static __thread char area[1 << 16] __attribute__((aligned(64)));
    struct iovec *given = data, whole = {area, sizeof area};
    if (kernel_ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole) < 0)
        return -1;
    if (given->iov_len >= whole.iov_len)
        return kernel_ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, given);
    memcpy(area, given->iov_base, given->iov_len);
    return kernel_ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list rest;
    va_start(rest, request);
    long pid = va_arg(rest, int);
    long address = va_arg(rest, long);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (request == PTRACE_SETREGSET && address == NT_X86_XSTATE)
        return set_state(pid, data);
    if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
        long word; /* the system call stores the word, the function of the C library returns it */
        if (kernel_ptrace(request, pid, address, &word) < 0)
            return -1;
        errno = 0;
        return word;
    }
    return kernel_ptrace(request, pid, address, data);
}
