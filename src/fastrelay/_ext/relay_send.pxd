from libc.stdint cimport uint64_t

from core cimport fr_relay

cdef void send_groups(fr_relay *relay) noexcept nogil
cdef void send_clients(fr_relay *relay, unsigned listener) noexcept nogil
cdef void send_hellos(fr_relay *relay, uint64_t now_us) noexcept nogil
cdef void read_trunk_errors(fr_relay *relay) noexcept nogil
