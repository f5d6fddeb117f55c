"""The C parts as Python sees them: the door for tests and vectors.

Lives here: one thin function or method for each C function, over one packet or token at a time. Packets are handed to
C as heap copies of their exact size, so that the address sanitizer sees an over-read of a single byte.
Must not live here: decisions, sockets, anything that the packet path would call.
"""

from libc.errno cimport EBADMSG, EEXIST, EINVAL, ENOENT
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastrelay.errors import TokenError, TokenRefusal


cdef extern from "limits.h" nogil:
    enum:
        FR_KEYS
        FR_TOKEN_TEXT_MAX

cdef extern from "wire/address.h" nogil:
    struct fr_address:
        uint64_t high
        uint64_t low
        uint32_t scope
        uint16_t port_be
    fr_address fr_address_v4(uint32_t address_be, uint16_t port_be)
    bint fr_address_is_v4(const fr_address *address)
    uint32_t fr_address_v4_be(const fr_address *address)

cdef extern from "crypto/hmac.h" nogil:
    struct fr_hmac:
        pass
    int fr_hmac_open(fr_hmac *, const char *digest)
    int fr_hmac_start(fr_hmac *, const uint8_t *key, size_t key_length)
    int fr_hmac_add(fr_hmac *, const void *content, size_t length)
    int fr_hmac_finish(fr_hmac *, uint8_t *out, size_t out_length)
    void fr_hmac_close(fr_hmac *)

cdef extern from "route/keyring.h" nogil:
    enum:
        FR_SECRET_LENGTH
    struct fr_key:
        uint8_t siv_key[32]
        uint8_t ice_key[32]
        uint8_t trunk_key[16]
    struct fr_keyring:
        pass
    int fr_keyring_add(fr_keyring *, unsigned id, const uint8_t *secret, uint64_t mint_from_s, uint64_t open_until_s)
    int fr_keyring_minting_id(const fr_keyring *, uint64_t now_s)
    const fr_key *fr_keyring_find(const fr_keyring *, unsigned id)
    void fr_keyring_wipe(fr_keyring *)

cdef extern from "route/token.h" nogil:
    enum:
        FR_SESSION_ID_LENGTH
        FR_ICE_PASSWORD_LENGTH
    struct fr_token:
        uint16_t cluster
        uint8_t session_id[8]
        uint32_t minted_at_s
        fr_address transceiver
    struct fr_token_codec:
        pass
    int fr_token_codec_open(fr_token_codec *)
    void fr_token_codec_close(fr_token_codec *)
    int fr_token_seal(fr_token_codec *, const fr_keyring *, unsigned key_id, const fr_token *, char *text)
    int fr_token_key_id(const char *text, size_t length)
    int fr_token_open(fr_token_codec *, const fr_key *, const char *text, size_t length, fr_token *out)
    int fr_token_ice_password(fr_token_codec *, const fr_key *, const char *text, size_t length, char *password)

cdef extern from "wire/demux.h" nogil:
    int fr_classify(const uint8_t *packet, size_t length)

cdef extern from "wire/stun.h" nogil:
    struct fr_stun_check:
        const char *token
        size_t token_length
        size_t integrity_offset
    int fr_stun_parse_check(const uint8_t *packet, size_t length, fr_stun_check *out)
    bint fr_stun_integrity_matches(fr_hmac *sha1, const uint8_t *packet, const fr_stun_check *, const uint8_t *password,
                                   size_t password_length)

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)


cdef class _ExactCopy:
    """A heap copy without the terminator that `bytes` carries."""

    def __cinit__(self, bytes content not None):
        self.length = len(content)
        self.at = <uint8_t *>malloc(self.length)
        if self.at == NULL and self.length > 0:
            raise MemoryError
        memcpy(self.at, <const char *>content, self.length)

    def __dealloc__(self):
        free(self.at)


cdef object _os_error(int result):
    return OSError(-result, "libcrypto refused")


# --- client packets --------------------------------------------------------


def classify(bytes packet not None):
    """Return the packet class, numbered as in ext/wire/demux.h. ValueError for an empty packet."""
    if len(packet) == 0:
        raise ValueError("an empty packet has no class")
    cdef _ExactCopy copy = _ExactCopy(packet)
    return fr_classify(copy.at, copy.length)


def parse_check(bytes packet not None):
    """Return 0, the token and MESSAGE-INTEGRITY's offset; or the refusing verdict, an empty token and 0."""
    cdef _ExactCopy copy = _ExactCopy(packet)
    cdef fr_stun_check check
    cdef int verdict = fr_stun_parse_check(copy.at, copy.length, &check)
    if verdict != 0:
        return verdict, b"", 0
    return 0, check.token[:check.token_length], check.integrity_offset


def integrity_matches(bytes packet not None, bytes password not None):
    """Tell whether a check was signed with this password. ValueError for what is not a check."""
    cdef _ExactCopy copy = _ExactCopy(packet)
    cdef _ExactCopy key = _ExactCopy(password)
    cdef fr_stun_check check
    if fr_stun_parse_check(copy.at, copy.length, &check) != 0:
        raise ValueError("the packet is not a connectivity check")
    cdef fr_hmac sha1
    cdef int result = fr_hmac_open(&sha1, b"SHA1")
    if result < 0:
        raise _os_error(result)
    try:
        return fr_stun_integrity_matches(&sha1, copy.at, &check, key.at, key.length)
    finally:
        fr_hmac_close(&sha1)


def hmac_digest(str digest not None, bytes key not None, bytes message not None, size_t out_length):
    """Return the first bytes of an HMAC: `digest` is SHA1 or SHA256. ValueError for more bytes than it has."""
    cdef _ExactCopy key_copy = _ExactCopy(key)
    cdef _ExactCopy message_copy = _ExactCopy(message)
    cdef fr_hmac hmac
    cdef uint8_t out[64]
    if out_length > sizeof(out):
        raise ValueError("no HMAC is that long")
    cdef int result = fr_hmac_open(&hmac, digest.encode())
    if result < 0:
        raise _os_error(result)
    try:
        result = fr_hmac_start(&hmac, key_copy.at, key_copy.length)
        if result == 0:
            result = fr_hmac_add(&hmac, message_copy.at, message_copy.length)
        if result == 0:
            result = fr_hmac_finish(&hmac, out, out_length)
    finally:
        fr_hmac_close(&hmac)
    if result == -EINVAL:
        raise ValueError("the HMAC is shorter than that")
    if result < 0:
        raise _os_error(result)
    return out[:out_length]


# --- route tokens ----------------------------------------------------------


def token_key_id(bytes text not None):
    """Return the key id that a token names, after a look at its shape. TokenError MALFORMED."""
    cdef _ExactCopy copy = _ExactCopy(text)
    cdef int key_id = fr_token_key_id(<const char *>copy.at, copy.length)
    if key_id < 0:
        raise TokenError(TokenRefusal.MALFORMED)
    return key_id


cdef class TokenCodec:
    """A key ring in C, and what seals and opens with it.

    Takes KeyRing.entries(). It knows no time but what is passed in: retirement and age are its caller's questions, as
    they are in the relay.
    """

    cdef fr_keyring ring
    cdef fr_token_codec codec

    def __cinit__(self, entries):
        cdef bytes secret
        cdef int result
        memset(&self.ring, 0, sizeof(self.ring))
        memset(&self.codec, 0, sizeof(self.codec))
        result = fr_token_codec_open(&self.codec)
        if result < 0:
            raise _os_error(result)
        for key_id, secret, mint_from_s, open_until_s in entries:
            if len(secret) != FR_SECRET_LENGTH:
                raise ValueError(f"a secret has {FR_SECRET_LENGTH} bytes, not {len(secret)}")
            result = fr_keyring_add(&self.ring, key_id, secret, mint_from_s,
                                    UINT64_MAX if open_until_s is None else open_until_s)
            if result == -EINVAL:
                raise ValueError(f"a key id is 0 to {FR_KEYS - 1}, not {key_id}")
            if result == -EEXIST:
                raise ValueError(f"key id {key_id} is there twice")
            if result < 0:
                raise _os_error(result)

    def __dealloc__(self):
        fr_token_codec_close(&self.codec)
        fr_keyring_wipe(&self.ring)

    def minting_id(self, uint64_t now_s):
        """Return the id of the key that seals now, or None."""
        cdef int key_id = fr_keyring_minting_id(&self.ring, now_s)
        return None if key_id == -ENOENT else key_id

    def derived_keys(self, unsigned key_id):
        """Return the token, ICE and trunk keys. KeyError for an id that is not in the ring."""
        cdef const fr_key *key = fr_keyring_find(&self.ring, key_id)
        if key == NULL:
            raise KeyError(key_id)
        return key.siv_key[:32], key.ice_key[:32], key.trunk_key[:16]

    def seal(self, unsigned key_id, uint16_t cluster, bytes session_id not None, uint32_t minted_at_s,
             bytes address not None, uint16_t port):
        """Return the text for a packed address of 4 or 16 bytes. KeyError for an id not in the ring, or ValueError."""
        cdef fr_token token
        cdef char text[FR_TOKEN_TEXT_MAX]
        cdef uint32_t address_be
        cdef const char *packed = address
        if len(session_id) != FR_SESSION_ID_LENGTH:
            raise ValueError(f"a session id has {FR_SESSION_ID_LENGTH} bytes, not {len(session_id)}")
        if len(address) != 4 and len(address) != 16:
            raise ValueError(f"an address has 4 or 16 bytes, not {len(address)}")
        memset(&token, 0, sizeof(token))
        token.cluster = cluster
        token.minted_at_s = minted_at_s
        memcpy(token.session_id, <const char *>session_id, FR_SESSION_ID_LENGTH)
        if len(address) == 4:
            memcpy(&address_be, packed, 4)
            token.transceiver = fr_address_v4(address_be, htons(port))
        else:
            memcpy(&token.transceiver.high, packed, 8)
            memcpy(&token.transceiver.low, packed + 8, 8)
            token.transceiver.port_be = htons(port)
        cdef int length = fr_token_seal(&self.codec, &self.ring, key_id, &token, text)
        if length == -ENOENT:
            raise KeyError(key_id)
        if length == -EINVAL:
            raise ValueError("a token cannot name this transceiver")
        if length < 0:
            raise _os_error(length)
        return text[:length].decode("ascii")

    def open(self, bytes text not None):
        """Return cluster, session id, mint time, packed address and port. TokenError MALFORMED, UNKNOWN_KEY, FORGED."""
        cdef const fr_key *key = self.key_of(text)
        cdef _ExactCopy copy = _ExactCopy(text)
        cdef fr_token token
        cdef uint32_t address_be
        cdef int result = fr_token_open(&self.codec, key, <const char *>copy.at, copy.length, &token)
        if result == -EBADMSG:
            raise TokenError(TokenRefusal.FORGED)
        if result == -EINVAL:
            raise TokenError(TokenRefusal.MALFORMED)
        if result < 0:
            raise _os_error(result)
        if fr_address_is_v4(&token.transceiver):
            address_be = fr_address_v4_be(&token.transceiver)
            address = (<char *>&address_be)[:4]
        else:
            address = (<char *>&token.transceiver.high)[:8] + (<char *>&token.transceiver.low)[:8]
        session_id = (<char *>token.session_id)[:FR_SESSION_ID_LENGTH]
        return token.cluster, session_id, token.minted_at_s, address, ntohs(token.transceiver.port_be)

    def ice_password(self, bytes text not None):
        """Return the password that goes with a token. TokenError MALFORMED or UNKNOWN_KEY."""
        cdef char password[FR_ICE_PASSWORD_LENGTH]
        cdef const fr_key *key = self.key_of(text)
        cdef _ExactCopy copy = _ExactCopy(text)
        cdef int result = fr_token_ice_password(&self.codec, key, <const char *>copy.at, copy.length, password)
        if result < 0:
            raise _os_error(result)
        return password[:FR_ICE_PASSWORD_LENGTH].decode("ascii")

    cdef const fr_key *key_of(self, bytes text) except NULL:
        cdef const fr_key *key = fr_keyring_find(&self.ring, token_key_id(text))
        if key == NULL:
            raise TokenError(TokenRefusal.UNKNOWN_KEY)
        return key
