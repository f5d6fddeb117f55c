from libc.stdint cimport uint8_t, uint32_t

from core cimport fr_address, fr_relay

cdef void down_receive(fr_relay *relay) noexcept nogil
cdef int down_datagram(fr_relay *relay, const fr_address *source, const uint8_t *datagram,
                       uint32_t length) noexcept nogil
cdef void down_flush(fr_relay *relay) noexcept nogil
