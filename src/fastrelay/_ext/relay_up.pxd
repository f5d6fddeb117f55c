from core cimport fr_relay

cdef unsigned up_receive(fr_relay *relay, unsigned listener) noexcept nogil
cdef void up_handle(fr_relay *relay) noexcept nogil
