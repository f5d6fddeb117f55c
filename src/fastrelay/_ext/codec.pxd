"""What the trunk's codec shares of codec.pyx."""

from libc.stdint cimport uint8_t


cdef class _ExactCopy:
    cdef uint8_t *at
    cdef size_t length
