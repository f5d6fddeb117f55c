from core cimport fr_relay

cdef void send_groups(fr_relay *relay) noexcept nogil
cdef void send_clients(fr_relay *relay, unsigned listener) noexcept nogil
