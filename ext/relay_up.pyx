# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The way up: a batch of client datagrams becomes bundles to transceivers.

Lives here: receiving a batch, deciding each datagram's verdict, admitting new clients, and looking at the RTP headers
of what has left. The readable twin of these decisions is fastrelay/relay/dataplane/twin.py.
Must not live here: sending (relay_send), the loop (relay_loop), what a header says of a call (flow/quality.c).

The batch is worked through three times, so that each memory access of a pass was prefetched by the one before:
shape and hash as it is received, index, flow. Whatever needs cryptography waits until the live calls have been sent.
"""

from libc.errno cimport EAGAIN, EINTR, EINVAL, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from core cimport *
from system cimport *
from fastrelay._ext.relay_send cimport send_groups
from fastrelay._ext.relay_sibling cimport adopt_flow


# --- receive -------------------------------------------------------------------

cdef unsigned up_receive(fr_relay *relay, unsigned at) noexcept nogil:
    """Fills relay.up from one listener without waiting; returns how many datagrams came."""
    cdef fr_listener *listener = &relay.listeners[at]
    cdef fr_up_ring *ring = &relay.up_ring
    cdef fr_up_batch *batch = &relay.up
    cdef fr_table table = relay.table  # a copy that stores to the batch cannot touch stays in registers
    cdef uint8_t via = listener.first_local
    cdef int i, received
    if ring.takes_notes != listener.is_wildcard or ring.family != listener.family:
        fr_up_ring_prepare(ring, listener.family, listener.is_wildcard)
    # slot 0 always has room for control messages: it is the sample for hop latency and for the kernel's drop count
    ring.messages[0].msg_hdr.msg_controllen = FR_RECEIVE_CONTROL
    received = recvmmsg(listener.fd, ring.messages, FR_BATCH, MSG_DONTWAIT, NULL)
    if received <= 0:
        if received < 0 and errno != EAGAIN and errno != EINTR:
            relay.counters.events[FR_EVENT_receive_errors] += 1
        return 0
    relay.counters.events[FR_EVENT_receives_up] += 1
    batch.count = received
    for i in range(received):
        fr_address_from_sockaddr(&batch.client[i], &ring.names[i])
        batch.via[i] = via
        judge_shape(batch, &table, i, fr_up_slot(ring, i), ring.messages[i].msg_len)
    if listener.is_wildcard:
        learn_locals(relay, at)
    return received


cdef void learn_locals(fr_relay *relay, unsigned at) noexcept nogil:
    cdef mmsghdr *messages = relay.up_ring.messages
    cdef unsigned i
    for i in range(relay.up.count):
        relay.up.via[i] = learn_local(relay, at, &messages[i].msg_hdr)
        if i:  # the kernel has written how much it used; slot 0 is still to be read
            messages[i].msg_hdr.msg_controllen = FR_RECEIVE_CONTROL


cdef uint8_t learn_local(fr_relay *relay, unsigned at, msghdr *message) noexcept nogil:
    """The local address a datagram was sent to, learned when it is new: addresses may be added while we run."""
    cdef fr_listener *listener = &relay.listeners[at]
    cdef fr_address destination
    cdef int local
    if not fr_local_destination(message, listener.bound.port_be, &destination):
        return listener.first_local
    local = fr_locals_find(&relay.locals, at, &destination)
    if local < 0:
        local = fr_locals_add(&relay.locals, relay.listeners, at, &destination, False)
    if local < 0:
        relay.counters.events[FR_EVENT_locals_full] += 1
        return listener.first_local
    return <uint8_t>local


cdef inline void judge_shape(fr_up_batch *batch, const fr_table *table, unsigned i, const uint8_t *payload,
                             uint32_t length) noexcept nogil:
    """Enters datagram i in the batch, its client is there already: its class, or the refusal of its shape; and asks for
    its place in the index."""
    cdef uint64_t hashed = fr_hash_address(&table.hash_key, &batch.client[i])
    cdef int verdict
    fr_table_prefetch(table, hashed)
    batch.hash[i] = hashed
    batch.payload[i] = payload
    batch.length[i] = length
    if length - 1 >= FR_CLIENT_DATAGRAM_MAX:
        batch.verdict[i] = FR_OVERSIZE if length else FR_EMPTY
        return
    verdict = fr_classify(payload, length)
    batch.verdict[i] = <uint8_t>verdict if verdict != FR_CLASS_OTHER else FR_NOT_WEBRTC


cdef void up_enter(fr_relay *relay, unsigned i, const fr_address *client, const uint8_t *payload,
                   uint32_t length) noexcept nogil:
    """Enters a datagram that did not come from a socket."""
    relay.up.client[i] = client[0]
    judge_shape(&relay.up, &relay.table, i, payload, length)


# --- decide --------------------------------------------------------------------

cdef void up_handle(fr_relay *relay) noexcept nogil:
    """Takes the batch in relay.up, shapes judged, to its verdicts, and what is forwarded to the trunk."""
    guess_flows(relay)
    fr_grouping_reset(&relay.grouping)
    relay.up.stranger_count = 0
    forward_known(relay)
    # order matters: live calls leave before any cryptography is done for strangers
    send_groups(relay)
    if relay.up.stranger_count:
        fr_grouping_reset(&relay.grouping)
        admit_strangers(relay)
        send_groups(relay)


cdef void guess_flows(fr_relay *relay) noexcept nogil:
    cdef fr_up_batch *batch = &relay.up
    cdef fr_table table = relay.table
    cdef fr_flow *flow
    cdef unsigned i
    for i in range(batch.count):
        flow = fr_table_guess(&table, batch.hash[i])
        fr_flow_prefetch(flow)
        batch.flow[i] = flow


cdef void forward_known(fr_relay *relay) noexcept nogil:
    cdef fr_up_batch *batch = &relay.up
    cdef fr_flow *flow
    cdef uint32_t now_ms = <uint32_t>relay.now.ms
    cdef unsigned i
    cdef int verdict
    for i in range(batch.count):
        verdict = batch.verdict[i]
        if verdict > FR_UP_SRTCP:
            fr_count_verdict(relay.counters, verdict, batch.length[i])
            continue
        flow = batch.flow[i]
        if not fr_address_equal(&flow.client, &batch.client[i]):
            flow = fr_table_find(&relay.table, batch.hash[i], &batch.client[i])
        if flow == NULL or (verdict != FR_UP_SRTP and is_other_strange(relay, i, flow, verdict)):
            batch.strangers[batch.stranger_count] = <uint16_t>i
            batch.stranger_count += 1
            continue
        carry(relay, i, flow, verdict, now_ms)


cdef bint is_other_strange(fr_relay *relay, unsigned i, const fr_flow *flow, int verdict) noexcept nogil:
    """Whether what is no RTP is to be judged as a stranger's; else it is counted here."""
    if verdict == FR_UP_STUN and brings_other_token(relay, i, flow):
        return True
    fr_quality_other(fr_table_quality(&relay.table, flow), verdict == FR_UP_DTLS, <uint32_t>relay.now.ms)
    return False


cdef inline void carry(fr_relay *relay, unsigned i, fr_flow *flow, int verdict, uint32_t now_ms) noexcept nogil:
    """Datagram i goes up on this flow."""
    cdef uint32_t length = relay.up.length[i]
    cdef uint8_t via = relay.up.via[i]
    flow.via = via
    flow.last_seen_ms = now_ms
    flow.packets_up += 1
    flow.bytes_up += length
    fr_count_verdict(relay.counters, verdict, length)
    fr_group_join(&relay.grouping, <uint16_t>i, flow.peer, via)


# --- admit ---------------------------------------------------------------------

cdef uint32_t token_tag(const fr_relay *relay, const fr_stun_check *check) noexcept nogil:
    """A keyed hash of the token's text, never 0: enough to see that a check brings the token the flow was made with.
    A wrong match would need a 2^-31 coincidence and would only forward the check to the flow's own transceiver."""
    return <uint32_t>fr_hash_bytes(&relay.table.hash_key, check.token, check.token_length) | 1


cdef bint brings_other_token(const fr_relay *relay, unsigned i, const fr_flow *flow) noexcept nogil:
    cdef fr_stun_check check
    if fr_stun_parse_check(relay.up.payload[i], relay.up.length[i], &check) != 0:
        return False
    return token_tag(relay, &check) != flow.token_tag


cdef void admit_strangers(fr_relay *relay) noexcept nogil:
    cdef fr_up_batch *batch = &relay.up
    cdef unsigned at, i
    cdef int verdict
    cdef fr_flow *flow
    for at in range(batch.stranger_count):
        i = batch.strangers[at]
        # an earlier stranger of this batch may have made the flow: a client's DTLS can follow its check at once
        flow = fr_table_find(&relay.table, batch.hash[i], &batch.client[i])
        verdict = judge_stranger(relay, i, &flow)
        batch.verdict[i] = <uint8_t>verdict
        if verdict <= FR_UP_REPOINTED:
            if verdict != FR_UP_SRTP:
                fr_quality_other(fr_table_quality(&relay.table, flow), verdict == FR_UP_DTLS, <uint32_t>relay.now.ms)
            carry(relay, i, flow, verdict, <uint32_t>relay.now.ms)
        else:
            fr_count_verdict(relay.counters, verdict, batch.length[i])


cdef int judge_stranger(fr_relay *relay, unsigned i, fr_flow **flow) noexcept nogil:
    """Its verdict; *flow is the flow to carry it when that is one of the forwarding ones."""
    cdef fr_up_batch *batch = &relay.up
    cdef const fr_address *client = &batch.client[i]
    cdef fr_stun_check check
    cdef int refusal
    if not fr_address_is_sendable(client) or fr_locals_is_own(&relay.locals, client):
        return FR_BAD_SOURCE
    if flow[0] == NULL:
        flow[0] = adopt_flow(relay, client, batch.hash[i], batch.via[i], NULL)
    if batch.verdict[i] != FR_UP_STUN:
        return batch.verdict[i] if flow[0] != NULL else FR_UNKNOWN_CLIENT
    refusal = fr_stun_parse_check(batch.payload[i], batch.length[i], &check)
    if flow[0] != NULL and (refusal != 0 or token_tag(relay, &check) == flow[0].token_tag):
        return FR_UP_STUN
    if refusal != 0:
        return refusal
    return admit(relay, i, &check, flow)


cdef int admit(fr_relay *relay, unsigned i, const fr_stun_check *check, fr_flow **flow) noexcept nogil:
    """Cheap refusals, then budgets, then cryptography, then room: a flood pays for as little work as possible."""
    cdef fr_token token
    cdef int refusal, peer
    cdef uint64_t session_id
    cdef fr_flow_seed seed
    refusal = open_token(relay, i, check, &token)
    if refusal != 0:
        return refusal
    memcpy(&session_id, token.session_id, 8)
    if flow[0] == NULL and is_closed_to(relay, i, session_id):
        return FR_DRAINING
    if (session_id and not (flow[0] != NULL and flow[0].session_id == session_id)
            and fr_table_session_flows(&relay.table, session_id) >= relay.limits.session_flows):
        return FR_SESSION_BUDGET
    peer = fr_peer_insert(relay.table.peers, &relay.table.hash_key, &token.transceiver, relay.now.ms,
                          relay.limits.peer_forget_ms)
    if peer < 0:
        return FR_PEERS_FULL
    if flow[0] != NULL:
        fr_table_repoint(&relay.table, flow[0], <uint16_t>peer, session_id, token_tag(relay, check))
        relay.counters.events[FR_EVENT_flows_repointed] += 1
        fr_table_note(&relay.table, flow[0], FR_JOURNAL_repointed)
        return FR_UP_REPOINTED
    seed.client = relay.up.client[i]
    seed.session_id = session_id
    seed.token_tag = token_tag(relay, check)
    seed.now_ms = <uint32_t>relay.now.ms
    seed.peer = <uint16_t>peer
    seed.via = relay.up.via[i]
    seed.state = FR_FLOW_UNCONFIRMED
    flow[0] = fr_table_insert(&relay.table, relay.up.hash[i], &seed, &relay.counters.events[FR_EVENT_flows_evicted])
    if flow[0] == NULL:
        return FR_TABLE_FULL
    relay.counters.events[FR_EVENT_flows_created] += 1
    fr_quality_begin(fr_table_quality(&relay.table, flow[0]), seed.now_ms)
    fr_table_note(&relay.table, flow[0], FR_JOURNAL_created)
    return FR_UP_ADMITTED


cdef bint is_closed_to(const fr_relay *relay, unsigned i, uint64_t session_id) noexcept nogil:
    """Whether a session may not begin here any more: the relay drains, or the address the client has reached is
    leaving. One that has flows here, at whichever worker, goes on: its caller may change networks."""
    if not relay.is_draining and relay.listeners[relay.locals.entries[relay.up.via[i]].listener].admits:
        return False
    return session_id == 0 or not (fr_table_session_flows(&relay.table, session_id)
                                   or fr_siblings_have_session(&relay.siblings, session_id))


cdef int open_token(fr_relay *relay, unsigned i, const fr_stun_check *check, fr_token *token) noexcept nogil:
    """0 when the check may make or move a flow to token.transceiver, else the refusal."""
    cdef uint32_t now_ms = <uint32_t>relay.now.ms
    cdef fr_limits *limits = &relay.limits
    cdef const fr_key *key
    cdef char password[FR_ICE_PASSWORD_LENGTH]
    cdef int key_id = fr_token_key_id(check.token, check.token_length)
    cdef int opened
    if key_id < 0:
        return FR_TOKEN_MALFORMED
    key = fr_keyring_find(&relay.keyring, key_id)
    if key == NULL:
        return FR_TOKEN_UNKNOWN_KEY
    if relay.now.unix_s >= key.open_until_s:
        return FR_TOKEN_RETIRED_KEY
    if not fr_source_take(relay.table.sources, fr_table_source_hash(&relay.table, &relay.up.client[i]), now_ms,
                          limits.source_admissions_per_s, limits.source_admissions_burst):
        return FR_SOURCE_BUDGET
    if not fr_bucket_take(&relay.admissions, now_ms, limits.admissions_per_s, limits.admissions_burst):
        return FR_ADMISSION_BUDGET
    opened = fr_token_open(&relay.codec, key, check.token, check.token_length, token)
    if opened != 0:
        return FR_TOKEN_MALFORMED if opened == -EINVAL else FR_TOKEN_FORGED
    if token.cluster != relay.cluster:
        return FR_TOKEN_FOREIGN_CLUSTER
    if token.minted_at_s + <uint64_t>limits.token_lifetime_s < relay.now.unix_s:
        return FR_TOKEN_EXPIRED
    if token.minted_at_s > relay.now.unix_s + limits.clock_skew_s:
        return FR_TOKEN_NOT_YET
    if not fr_allowed_hold(&relay.allowed, &token.transceiver) or not fr_address_is_sendable(&token.transceiver):
        return FR_TOKEN_NOT_ALLOWED
    if (fr_token_ice_password(&relay.codec, key, check.token, check.token_length, password) != 0
            or not fr_stun_integrity_matches(&relay.sha1, relay.up.payload[i], check, <const uint8_t *>password,
                                             FR_ICE_PASSWORD_LENGTH)):
        return FR_STUN_BAD_INTEGRITY
    return 0


# --- look back -----------------------------------------------------------------

cdef void up_sample(fr_relay *relay, uint64_t now_us) noexcept nogil:
    """Looks at RTP headers of the batch, which still lies in the ring when it has left.

    At all of a small one; at FR_SAMPLES of a larger one, evenly apart from a drawn place, because a place that is
    counted on would keep step with the flows.
    """
    cdef unsigned count = relay.up.count
    cdef unsigned step = 1, at = 0
    cdef bint is_whole = count <= FR_SAMPLED_WHOLE
    cdef fr_rtp_sample sample
    sample.arrival = fr_rtp_clock(now_us)
    sample.now_ms = <uint32_t>(now_us // 1000)
    if not is_whole:
        step = count // FR_SAMPLES
        relay.sample_draw = relay.sample_draw * 1664525u + 1013904223u
        at = (relay.sample_draw >> 16) * step >> 16
    while at < count:
        if relay.up.verdict[at] == FR_UP_SRTP and relay.up.length[at] >= FR_RTP_HEADER_BYTES:
            sample_rtp(relay, at, &sample, is_whole)
        at += step


cdef inline void sample_rtp(fr_relay *relay, unsigned i, fr_rtp_sample *sample, bint is_whole) noexcept nogil:
    cdef fr_up_batch *batch = &relay.up
    cdef fr_flow *flow = batch.flow[i]
    cdef fr_quality *quality
    if not fr_address_equal(&flow.client, &batch.client[i]):
        flow = fr_table_find(&relay.table, batch.hash[i], &batch.client[i])
    if flow == NULL or flow.state == FR_FLOW_FREE:  # evicted by a stranger of its own batch
        return
    quality = fr_table_quality(&relay.table, flow)
    sample.packet = batch.payload[i]
    sample.rtp_up = <uint16_t>(flow.packets_up - quality.others_up)
    # The client's later packets of this batch are counted already. In a large batch they are not looked for, which
    # would cost more than the sample: the account is right again at the next one, unless the stream begins here.
    if is_whole and not fr_quality_is_next(quality, sample.packet, sample.rtp_up):
        sample.rtp_up -= count_later_rtp(batch, i)
    fr_quality_sample(quality, sample, relay.counters)


cdef uint16_t count_later_rtp(const fr_up_batch *batch, unsigned i) noexcept nogil:
    """RTP of the same client behind datagram i. The keyed hash stands for the address: nobody can make two collide."""
    cdef uint16_t later = 0
    cdef unsigned at
    for at in range(i + 1, batch.count):
        later += batch.hash[at] == batch.hash[i] and batch.verdict[at] == FR_UP_SRTP
    return later
