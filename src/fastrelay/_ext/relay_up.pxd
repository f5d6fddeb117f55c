from libc.stdint cimport uint8_t, uint32_t, uint64_t

from core cimport fr_address, fr_relay

cdef unsigned up_receive(fr_relay *relay, unsigned listener) noexcept nogil
cdef void up_enter(fr_relay *relay, unsigned i, const fr_address *client, const uint8_t *payload,
                   uint32_t length) noexcept nogil
cdef void up_handle(fr_relay *relay) noexcept nogil
cdef void up_sample(fr_relay *relay, uint64_t now_us) noexcept nogil
