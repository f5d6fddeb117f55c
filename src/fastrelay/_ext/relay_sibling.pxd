from libc.stdint cimport uint8_t, uint64_t

from core cimport fr_address, fr_flow, fr_relay

cdef fr_flow *adopt_flow(fr_relay *relay, const fr_address *client, uint64_t hashed, uint8_t via,
                         const fr_address *peer) noexcept nogil
