# cython: language_level=3
# What the hot loop's modules know of the C parts: extern declarations, nothing else. What reads and writes packets is
# in wire.pxd, which is handed on from here. The headers hold the meaning; a name missing here is not used from Cython.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from system cimport iovec, mmsghdr, msghdr
from wire cimport *


cdef extern from "clock.h" nogil:
    struct fr_now:
        uint64_t ms, unix_s
    void fr_read_now(fr_now *now)
    uint64_t fr_monotonic_us()


cdef extern from "limits.h" nogil:
    enum:
        FR_CLIENT_DATAGRAM_MAX
        FR_BATCH
        FR_SAMPLED_WHOLE
        FR_SAMPLES
        FR_SEND_BATCH
        FR_BUNDLE_FRAMES
        FR_TRUNK_BATCH
        FR_TRUNK_RECEIVES
        FR_LISTENERS
        FR_LOCALS
        FR_PEERS
        FR_ALLOWED
        FR_KEYS
        FR_SWEEP_STEP
        FR_SEND_PATIENCE
        FR_SIBLINGS
    struct fr_limits:
        uint32_t unconfirmed_after_ms
        uint32_t idle_after_ms
        uint32_t sweep_period_ms
        uint32_t session_flows
        uint32_t source_admissions_per_s
        uint32_t source_admissions_burst
        uint32_t admissions_per_s
        uint32_t admissions_burst
        uint32_t recreations_per_s
        uint32_t recreations_burst
        uint32_t sibling_lookups_per_s
        uint32_t sibling_lookups_burst
        uint32_t token_lifetime_s
        uint32_t clock_skew_s
        uint32_t hello_every_ms
        uint32_t peer_forget_ms


cdef extern from "verdict.h" nogil:
    enum:  # fr_verdict
        FR_UP_STUN, FR_UP_DTLS, FR_UP_SRTP, FR_UP_SRTCP, FR_UP_ADMITTED, FR_UP_REPOINTED
        FR_EMPTY, FR_OVERSIZE, FR_NOT_WEBRTC, FR_BAD_SOURCE, FR_UNKNOWN_CLIENT
        FR_STUN_BAD_INTEGRITY
        FR_TOKEN_MALFORMED, FR_TOKEN_UNKNOWN_KEY, FR_TOKEN_RETIRED_KEY, FR_TOKEN_FORGED, FR_TOKEN_EXPIRED
        FR_TOKEN_NOT_YET, FR_TOKEN_FOREIGN_CLUSTER, FR_TOKEN_NOT_ALLOWED
        FR_SOURCE_BUDGET, FR_ADMISSION_BUDGET, FR_SESSION_BUDGET, FR_TABLE_FULL, FR_PEERS_FULL
        FR_DRAINING
        FR_TRUNK_BUNDLE
        FR_DOWN_FORWARDED, FR_DOWN_CONFIRMED, FR_DOWN_RECREATED, FR_DOWN_CLOSED, FR_DOWN_CLOSE_UNKNOWN
        FR_DOWN_EMPTY, FR_DOWN_NOT_YOURS, FR_DOWN_AMPLIFIED, FR_DOWN_BAD_ADDRESS, FR_DOWN_RECREATE_BUDGET
        FR_DOWN_TABLE_FULL
        FR_VERDICT_COUNT


cdef extern from "counters.h" nogil:
    uint64_t FR_COUNTERS_MAGIC
    enum:
        FR_COUNTERS_LAYOUT
    enum:  # fr_event
        FR_EVENT_flows_created, FR_EVENT_flows_confirmed, FR_EVENT_flows_repointed, FR_EVENT_flows_recreated
        FR_EVENT_flows_adopted, FR_EVENT_flows_closed, FR_EVENT_flows_expired_unconfirmed, FR_EVENT_flows_expired_idle
        FR_EVENT_flows_evicted, FR_EVENT_turns, FR_EVENT_receives_up, FR_EVENT_receives_down
        FR_EVENT_bundles_sent, FR_EVENT_sends_up, FR_EVENT_sends_down, FR_EVENT_sends_resumed
        FR_EVENT_refused_up, FR_EVENT_refused_down, FR_EVENT_no_buffer_up, FR_EVENT_no_buffer_down
        FR_EVENT_kernel_drops_up, FR_EVENT_kernel_drops_down, FR_EVENT_trunk_errors, FR_EVENT_receive_errors
        FR_EVENT_trunk_cut, FR_EVENT_hellos_sent, FR_EVENT_offload_failures, FR_EVENT_locals_full
        FR_EVENT_sibling_lookups_refused
        FR_EVENT_COUNT
    struct fr_counters:
        uint64_t magic, layout, alive_ms, flows, unconfirmed, offload
        uint64_t *verdict_packets
        uint64_t *verdict_bytes
        uint64_t *events
        uint64_t *hop_up_ns
        uint64_t *hop_down_ns
    void fr_count_hop(uint64_t *histogram, uint64_t received_ns)
    void fr_count_verdict(fr_counters *counters, int verdict, uint64_t bytes)


cdef extern from "flow/hash.h" nogil:
    struct fr_hash_key:
        uint64_t *words
    uint64_t fr_hash_address(const fr_hash_key *key, const fr_address *address)
    uint64_t fr_hash_bytes(const fr_hash_key *key, const void *bytes, size_t length)


cdef extern from "flow/budget.h" nogil:
    struct fr_bucket:
        uint32_t level, at_ms
    struct fr_source_budget:
        pass
    bint fr_bucket_take(fr_bucket *bucket, uint32_t now_ms, uint32_t per_second, uint32_t burst)
    bint fr_source_take(fr_source_budget *budget, uint64_t hash, uint32_t now_ms, uint32_t per_second, uint32_t burst)


cdef extern from "trunk/peer.h" nogil:
    struct fr_peer:
        fr_address address
        uint64_t epoch_us, highest, received, sequence_sent, heard_ms, used_ms, is_used
        uint32_t rtt_us, hello_flags, flows, unreachable
    struct fr_peer_page:
        uint32_t capacity, used
        fr_peer *peers
    uint64_t fr_peer_lost(const fr_peer *peer)
    int fr_peer_find(const fr_peer_page *page, const fr_hash_key *key, const fr_address *address)
    int fr_peer_insert(fr_peer_page *page, const fr_hash_key *key, const fr_address *address, uint64_t now_ms,
                       uint32_t forget_ms)
    int fr_peer_hello(fr_peer *peer, const fr_burst_head *head, uint32_t flags, uint64_t now_us, uint32_t every_ms,
                      uint32_t forget_ms, uint8_t *datagram)


cdef extern from "flow/journal.h" nogil:
    enum fr_journal_kind:
        FR_JOURNAL_created, FR_JOURNAL_confirmed, FR_JOURNAL_repointed, FR_JOURNAL_recreated
        FR_JOURNAL_adopted, FR_JOURNAL_closed


cdef extern from "flow/quality.h" nogil:
    enum:
        FR_RTP_HEADER_BYTES
    struct fr_quality:
        uint16_t others_up
    struct fr_rtp_sample:
        const uint8_t *packet
        uint32_t arrival, now_ms
        uint16_t rtp_up
    uint32_t fr_rtp_clock(uint64_t now_us)
    void fr_quality_begin(fr_quality *quality, uint32_t now_ms)
    void fr_quality_other(fr_quality *quality, bint is_dtls, uint32_t now_ms)
    bint fr_quality_is_next(const fr_quality *quality, const uint8_t *packet, uint16_t rtp_up)
    void fr_quality_sample(fr_quality *quality, const fr_rtp_sample *sample, fr_counters *counters)


cdef extern from "io/local.h" nogil:
    struct fr_local_page:
        uint32_t count


cdef extern from "flow/table.h" nogil:
    enum fr_flow_state:
        FR_FLOW_FREE, FR_FLOW_UNCONFIRMED, FR_FLOW_CONFIRMED
    struct fr_flow:
        fr_address client
        uint64_t session_id
        uint32_t token_tag, last_seen_ms
        uint16_t peer
        uint8_t via, state
        uint32_t packets_up, packets_down, bytes_up
    struct fr_flow_page:
        uint64_t epoch_us
        fr_hash_key hash_key
        uint32_t capacity, used, flows, unconfirmed
    struct fr_table_layout:
        size_t peers, flows, qualities, end
    struct fr_table:
        fr_flow_page *page
        fr_peer_page *peers
        fr_local_page *locals
        fr_source_budget *sources
        fr_flow *flows
        fr_hash_key hash_key
        fr_counters *counters
    struct fr_flow_seed:
        fr_address client
        uint64_t session_id
        uint32_t token_tag, now_ms
        uint16_t peer
        uint8_t via, state
    struct fr_swept:
        uint32_t unconfirmed, idle
    fr_quality *fr_table_quality(const fr_table *table, const fr_flow *flow)
    void fr_table_note(const fr_table *table, const fr_flow *flow, fr_journal_kind kind)
    fr_table_layout fr_table_layout_of(uint32_t capacity)
    size_t fr_table_page_bytes(uint32_t capacity)
    int fr_table_attach(fr_table *table, void *memory, size_t bytes, uint32_t capacity, const fr_hash_key *hash_key,
                        uint64_t epoch_us)
    void fr_table_prefetch(const fr_table *table, uint64_t hash)
    void fr_flow_prefetch(const fr_flow *flow)
    fr_flow *fr_table_guess(const fr_table *table, uint64_t hash)
    fr_flow *fr_table_find(const fr_table *table, uint64_t hash, const fr_address *client)
    uint32_t fr_table_session_flows(const fr_table *table, uint64_t session_id)
    uint64_t fr_table_source_hash(const fr_table *table, const fr_address *client)
    fr_flow *fr_table_insert(fr_table *table, uint64_t hash, const fr_flow_seed *seed,
                             uint64_t *evictions)
    void fr_table_confirm(fr_table *table, fr_flow *flow)
    void fr_table_repoint(fr_table *table, fr_flow *flow, uint16_t peer, uint64_t session_id, uint32_t token_tag)
    void fr_table_remove(fr_table *table, fr_flow *flow, fr_journal_kind why)
    void fr_table_sweep(fr_table *table, uint32_t count, uint32_t now_ms, uint32_t unconfirmed_after_ms,
                        uint32_t idle_after_ms, fr_swept *swept)


cdef extern from "flow/sibling.h" nogil:
    struct fr_siblings:
        unsigned count
    struct fr_sibling_flow:
        fr_address peer
        uint64_t session_id
        uint32_t token_tag, last_seen_ms
        uint8_t state
    int fr_siblings_add(fr_siblings *siblings, const void *memory, size_t bytes)
    bint fr_siblings_find(const fr_siblings *siblings, const fr_hash_key *own_key, const fr_address *client,
                          uint32_t now_ms, fr_sibling_flow *found)
    bint fr_siblings_have_session(const fr_siblings *siblings, uint64_t session_id)


cdef extern from "io/batch.h" nogil:
    enum:
        FR_RECEIVE_CONTROL
    union fr_sockaddr:
        uint8_t *bytes
    struct fr_up_ring:
        mmsghdr *messages
        fr_sockaddr *names
        int family
        bint takes_notes
    struct fr_down_ring:
        mmsghdr *messages
        fr_sockaddr *names
    struct fr_client_queue:
        unsigned count
        mmsghdr *messages
        iovec *iovecs
        fr_sockaddr *names
    struct fr_trunk_queue:
        unsigned count
        mmsghdr *messages
        fr_sockaddr *names
    struct fr_received_note:
        uint64_t received_ns
        uint32_t segment_bytes, kernel_drops
        bint has_kernel_drops
    void fr_up_ring_open(fr_up_ring *ring)
    const uint8_t *fr_up_slot(const fr_up_ring *ring, unsigned i)
    void fr_up_ring_prepare(fr_up_ring *ring, int family, bint takes_notes)
    void fr_down_ring_open(fr_down_ring *ring)
    void fr_client_queue_open(fr_client_queue *queue)
    void fr_trunk_queue_open(fr_trunk_queue *queue)
    void fr_read_note(msghdr *message, fr_received_note *note)
    void fr_trunk_queue_segment(fr_trunk_queue *queue, unsigned at, uint16_t segment_bytes)
    int fr_read_socket_error(int fd, fr_sockaddr *destination)


cdef extern from "io/local.h" nogil:
    enum:
        FR_NO_LISTENER
    struct fr_local:
        fr_address address
        uint32_t control_bytes
        uint16_t family
        uint8_t listener
        uint8_t *control
    struct fr_listener:
        int fd, family
        bint is_wildcard, admits
        uint8_t first_local
        uint32_t kernel_drops
        fr_address bound
    struct fr_locals:
        unsigned count
        fr_local *entries
    void fr_locals_attach(fr_locals *locals, fr_local_page *page, const fr_listener *listeners,
                          unsigned listener_count)
    int fr_locals_add(fr_locals *locals, const fr_listener *listeners, unsigned listener, const fr_address *address,
                      bint is_named)
    int fr_locals_find(const fr_locals *locals, unsigned listener, const fr_address *address)
    int fr_locals_usable(const fr_locals *locals, unsigned via, bint is_v4)
    bint fr_locals_is_own(const fr_locals *locals, const fr_address *source)
    int fr_host_addresses(fr_address *addresses, unsigned room)
    bint fr_local_destination(msghdr *message, uint16_t port_be, fr_address *destination)
    unsigned fr_client_queue_add(fr_client_queue *queue, const fr_local *local, const fr_frame *frame)


cdef extern from "io/offload.h" nogil:
    int fr_offload_works(int family)


cdef extern from "trunk/group.h" nogil:
    struct fr_grouping:
        unsigned count
    void fr_grouping_reset(fr_grouping *grouping)
    void fr_group_join(fr_grouping *grouping, uint16_t i, uint16_t peer, uint16_t via)


cdef extern from "trunk/end.h" nogil:
    struct fr_network:
        uint64_t high, low, high_mask, low_mask
    struct fr_allowed:
        unsigned count
        fr_network *networks
    bint fr_allowed_hold(const fr_allowed *allowed, const fr_address *address)
    struct fr_trunk_end:
        int fd, family
        bint is_relay, is_offloading
        uint32_t hello_every_ms, peer_forget_ms, hello_flags, kernel_drops
        int last_peer
        uint64_t epoch_us
        fr_hash_key hash_key
        const fr_keyring *keyring
        const fr_allowed *allowed
        const fr_now *now
        fr_peer_page *peers
        fr_counters *counters
        void (*sink)(void *sink_state, fr_trunk_end *end) noexcept nogil
        void *sink_state
        unsigned judged
        fr_writer writer
        uint16_t *burst_peer
        fr_trunk_queue queue
        fr_down_ring ring
    struct fr_outgoing:
        const fr_address *client
        const uint8_t *const *payload
        const uint32_t *length
    unsigned fr_trunk_end_pack(fr_trunk_end *end, const fr_grouping *grouping, const fr_outgoing *outgoing)
    int fr_trunk_end_judge(fr_trunk_end *end, const fr_address *source, const uint8_t *datagram, uint32_t length,
                           fr_trunk_header *header, int *slot)
    bint fr_trunk_end_head(fr_trunk_end *end, unsigned slot, fr_trunk_kind kind, uint16_t via, fr_burst_head *head)


cdef extern from "relay.h" nogil:
    enum:
        FR_LENGTH_CUT
    struct fr_up_batch:
        unsigned count
        const uint8_t **payload
        uint32_t *length
        uint8_t *via
        uint8_t *verdict
        fr_address *client
        uint64_t *hash
        fr_flow **flow
        uint16_t *strangers
        unsigned stranger_count
    struct fr_down_batch:
        unsigned count
        unsigned taken
        fr_frame *frames
        uint16_t *peer
        uint16_t *via
        uint8_t *verdict
        uint64_t *hash
        fr_flow **flow
    struct fr_relay:
        fr_limits limits
        fr_keyring keyring
        fr_allowed allowed
        uint16_t cluster
        bint is_spinning, is_draining
        fr_listener *listeners
        unsigned listener_count
        fr_table table
        fr_counters *counters
        fr_siblings siblings
        fr_token_codec codec
        fr_hmac sha1
        fr_now now
        fr_trunk_end trunk
        fr_locals locals
        fr_bucket admissions, recreations, sibling_lookups
        uint64_t hello_check_ms, swept_ms, sweep_debt
        uint32_t sample_draw
        fr_up_batch up
        fr_grouping grouping
        fr_down_batch down
        fr_up_ring up_ring
        fr_client_queue *client_queues
        void (*client_sink)(void *sink_state, fr_relay *relay, unsigned listener) noexcept nogil
    bint fr_address_is_sendable(const fr_address *address)


cdef extern from "port.h" nogil:
    struct fr_port:
        fr_keyring keyring
        fr_allowed allowed
        fr_now now
        fr_peer_page peers
        fr_counters counters
        fr_trunk_end trunk
        fr_grouping grouping
        unsigned count
        fr_address *client
        const uint8_t **payload
        uint32_t *length
