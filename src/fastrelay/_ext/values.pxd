from libc.stdint cimport uint32_t

from core cimport fr_address, fr_allowed, fr_keyring

cdef int parse_address(fr_address *address, str ip, int port, uint32_t scope) except -1
cdef tuple show_address(const fr_address *address)
cdef int fill_keyring(fr_keyring *keyring, object keys) except -1
cdef int fill_allowed(fr_allowed *allowed, object networks) except -1
