from libc.stdint cimport uint32_t, uint64_t

from core cimport fr_relay

cdef void settle_vias(fr_relay *relay) noexcept nogil
cdef void sweep_slots(fr_relay *relay, uint32_t count) noexcept nogil


cdef class RelayCore:
    cdef fr_relay *relay
    cdef object flow_page, counter_page  # held for as long as the relay points into them
    cdef object limits
    cdef list sibling_views  # held for as long as relay.siblings points into them
    cdef list sent  # what the sinks have collected
    cpdef void set_keys(self, object keys) except *
    cpdef void set_allowed(self, object networks) except *
    cdef void attach(self, object flow_page, object counter_page, object hash_key, uint64_t epoch_us) except *
    cdef void open_trunk(self) except *
    cdef void open_locals(self, object locals_) except *
    cdef int check_via(self, int via) except -1
