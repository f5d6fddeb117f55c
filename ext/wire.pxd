# cython: language_level=3
# What Cython knows of the C parts that read and write packets: addresses, STUN, tokens, bundles. Extern declarations,
# nothing else. core.pxd hands all of it on, so a module cimports from there.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from system cimport iovec, socklen_t


cdef extern from "wire/address.h" nogil:
    struct fr_address:
        uint64_t high
        uint64_t low
        uint32_t scope
        uint16_t port_be
        uint16_t zero
    bint fr_address_is_v4(const fr_address *address)
    bint fr_address_equal(const fr_address *a, const fr_address *b)
    bint fr_address_from_sockaddr(fr_address *address, const void *socket_address)
    socklen_t fr_address_to_sockaddr(const fr_address *address, int family, void *socket_address)


cdef extern from "wire/demux.h" nogil:
    enum fr_packet_class:
        FR_CLASS_OTHER
    fr_packet_class fr_classify(const uint8_t *packet, size_t length)


cdef extern from "wire/stun.h" nogil:
    struct fr_stun_check:
        const char *token
        size_t token_length
        size_t integrity_offset
    int fr_stun_parse_check(const uint8_t *packet, size_t length, fr_stun_check *check)
    bint fr_stun_integrity_matches(fr_hmac *sha1, const uint8_t *packet, const fr_stun_check *check,
                                   const uint8_t *password, size_t password_length)


cdef extern from "crypto/hmac.h" nogil:
    struct fr_hmac:
        pass
    int fr_hmac_open(fr_hmac *hmac, const char *digest)
    void fr_hmac_close(fr_hmac *hmac)


cdef extern from "crypto/cmac.h" nogil:
    struct fr_cmac_key:
        pass


cdef extern from "route/keyring.h" nogil:
    struct fr_key:
        uint64_t open_until_s
        bint present
    struct fr_keyring:
        fr_key *keys
    int fr_keyring_add(fr_keyring *ring, unsigned id, const uint8_t *secret, uint64_t mint_from_s,
                       uint64_t open_until_s)
    const fr_key *fr_keyring_find(const fr_keyring *ring, unsigned id)
    void fr_keyring_wipe(fr_keyring *ring)


cdef extern from "route/token.h" nogil:
    enum:
        FR_ICE_PASSWORD_LENGTH
    struct fr_token:
        uint16_t cluster
        uint8_t *session_id
        uint32_t minted_at_s
        fr_address transceiver
    struct fr_token_codec:
        pass
    int fr_token_codec_open(fr_token_codec *codec)
    void fr_token_codec_close(fr_token_codec *codec)
    int fr_token_key_id(const char *text, size_t length)
    int fr_token_open(fr_token_codec *codec, const fr_key *key, const char *text, size_t length, fr_token *token)
    int fr_token_ice_password(fr_token_codec *codec, const fr_key *key, const char *text, size_t length,
                              char *password)


cdef extern from "trunk/bundle.h" nogil:
    enum:
        FR_TRUNK_HEADER
        FR_HELLO_BODY
        FR_FRAME_CLOSE
        FR_HELLO_DRAINING
    enum fr_trunk_kind:
        FR_BUNDLE_UP, FR_BUNDLE_DOWN, FR_HELLO_UP, FR_HELLO_DOWN
    struct fr_trunk_header:
        uint8_t kind, key_id
        uint16_t frame_count, via, covered_bytes
        uint64_t epoch_us, sequence
    struct fr_frame:
        fr_address client
        const uint8_t *payload
        uint32_t length, flags
    struct fr_hello:
        uint64_t sent_at_us, echo_us
        uint32_t echo_delay_us, flags
        uint64_t received, lost
    struct fr_datagram:
        uint16_t first_iovec, iovec_count, bytes
    struct fr_burst:
        uint16_t first_datagram, datagram_count, segment_bytes
    struct fr_burst_head:
        const fr_cmac_key *mac_key
        uint64_t epoch_us
        uint64_t *sequence
        uint16_t via
        uint8_t key_id, kind
    struct fr_writer:
        uint16_t iovec_count, datagram_count, burst_count
        fr_datagram *datagrams
        fr_burst *bursts
        iovec *iovecs
    int fr_trunk_read_header(const uint8_t *datagram, size_t length, fr_trunk_header *header)
    int fr_trunk_check_mac(const uint8_t *datagram, size_t length, const fr_trunk_header *header,
                           const fr_cmac_key *key)
    int fr_trunk_read_frames(const uint8_t *datagram, size_t length, const fr_trunk_header *header, fr_frame *frames)
    int fr_trunk_read_hello(const uint8_t *datagram, const fr_trunk_header *header, fr_hello *hello)
    void fr_writer_reset(fr_writer *writer)
    void fr_writer_begin(fr_writer *writer, const fr_burst_head *head)
    void fr_writer_add(fr_writer *writer, const fr_address *client, const uint8_t *payload, uint32_t length,
                       uint32_t flags)
    void fr_writer_end(fr_writer *writer)
