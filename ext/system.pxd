# cython: language_level=3
# What the hot loop's modules know of the kernel's interface: extern declarations, nothing else.

from libc.stdint cimport int64_t


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len


cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct timespec:
        int64_t tv_sec
        int64_t tv_nsec
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int AF_INET, AF_INET6
    int MSG_DONTWAIT, MSG_TRUNC, MSG_CTRUNC
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)


cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events, revents
    int POLLOUT
    int poll(pollfd *waiting, unsigned long count, int timeout_ms)
