from libc.stdint cimport uint8_t, uint32_t

from core cimport fr_address, fr_port


cdef class Path:
    cdef fr_address client_address, relay_address
    cdef readonly int via
    cdef int slot  # where the relay was last found among the peers: a guess
    cdef bytes key


cdef class TrunkPort:
    cdef fr_port *port
    cdef object paths  # by key, the longest known first
    cdef int path_capacity
    cdef list arrived
    cdef Path path_of(self, int peer, int via, const fr_address *client)
    cdef int slot_of(self, Path path) except -1
    cdef void begin(self) except *
    cdef void add(self, path_or_other, const uint8_t *payload, uint32_t length) except *
    cdef void flush(self) except *
