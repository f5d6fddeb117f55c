from libc.stdint cimport uint8_t, uint32_t, uint64_t

from core cimport fr_address, fr_trunk_end, fr_trunk_header

# What takes the frames of a datagram that has passed the checks: FR_TRUNK_BUNDLE, or the refusal of its frames.
ctypedef int (*take_bundle)(void *owner, int peer, const fr_trunk_header *header, const uint8_t *datagram,
                            uint32_t length) noexcept nogil

cdef int end_receive(fr_trunk_end *end, take_bundle take, void *owner, uint64_t *sampled_ns) noexcept nogil
cdef int end_datagram(fr_trunk_end *end, const fr_address *source, const uint8_t *datagram, uint32_t length,
                      take_bundle take, void *owner) noexcept nogil
cdef void end_send(fr_trunk_end *end) noexcept nogil
cdef void end_hellos(fr_trunk_end *end, uint64_t now_us) noexcept nogil
cdef void end_read_errors(fr_trunk_end *end) noexcept nogil
cdef void wait_for_room(int fd) noexcept nogil
