/* The local addresses clients reach, and how to answer from the same one.
 *
 * Lives here: the list of them, whose indices are the trunk's `via`; reading the destination of a received datagram
 * from its control message, and the prepared control message that makes a reply leave from there (IP_PKTINFO,
 * IPV6_PKTINFO). A socket bound to one address needs neither. Must not live here: sockets, flows.
 *
 * The addresses are in the flow page, so that a `via` means the same address for the page's whole life, whatever became
 * of worker and listeners. How to send from there is the worker's own and made anew from its listeners; an address that
 * none of them serves keeps its place, and is sent from again when one does.
 */
#ifndef FR_IO_LOCAL_H
#define FR_IO_LOCAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/batch.h"
#include "limits.h"
#include "trunk/bundle.h"
#include "wire/address.h"

#define FR_LOCAL_CONTROL 64 /* CMSG_SPACE of the larger of the two */

/* In the flow page. All zero is empty; after a crash an address may be any bytes, and then no listener serves it. */
struct fr_local_page {
    uint32_t count;
    uint32_t reserved;
    struct fr_address addresses[FR_LOCALS];
};

#define FR_NO_LISTENER UINT8_MAX

/* One local address; its place in the list is the trunk's `via`. */
struct fr_local {
    struct fr_address address;
    uint32_t control_bytes; /* 0: the socket is bound to the address and needs no word */
    uint16_t family;        /* of the listener's socket */
    uint8_t listener;       /* FR_NO_LISTENER: cannot be sent from, and no flow names it */
    bool is_named;          /* known at start; else learned from a datagram, by this worker or by one before it */
    uint8_t control[FR_LOCAL_CONTROL] __attribute__((aligned(8)));
};

struct fr_listener {
    int fd;
    int family;
    bool is_wildcard;
    bool admits;              /* false: its address is to be given up, so it takes no new flows */
    uint8_t first_local;      /* for datagrams whose local address found no room */
    uint32_t kernel_drops;    /* last SO_RXQ_OVFL reading */
    struct fr_address bound;  /* port matters: every local of a wildcard socket shares it */
};

struct fr_locals {
    struct fr_local_page *page;
    unsigned count;
    struct fr_local entries[FR_LOCALS];
};

/* Takes the page's addresses over; each is served by the listener that is bound to it, else by a wildcard one of its
 * family and port, else by none. */
void fr_locals_attach(struct fr_locals *locals, struct fr_local_page *page, const struct fr_listener *listeners,
                      unsigned listener_count);
/* The address's index, new or known, from now on served by this listener; -ENOSPC. When the list is full an address that
 * nobody serves gives up its place and, to a named one, one that was learned. */
int fr_locals_add(struct fr_locals *locals, const struct fr_listener *listeners, unsigned listener,
                  const struct fr_address *address, bool is_named);
/* -ENOENT when this listener has no such address. */
int fr_locals_find(const struct fr_locals *locals, unsigned listener, const struct fr_address *address);
/* `via` if it can be sent from to this family; else the first that can, named ones before others; -ENOENT: none. */
int fr_locals_usable(const struct fr_locals *locals, unsigned via, bool is_v4);
/* Whether a datagram from `source` would come from the relay itself. */
bool fr_locals_is_own(const struct fr_locals *locals, const struct fr_address *source);
/* Where the datagram was sent to, from its control messages: false when they do not say. Port is port_be. */
bool fr_local_destination(struct msghdr *message, uint16_t port_be, struct fr_address *destination);

/* The host's unicast addresses (port 0), at most `room`; called at start. Their number, or -errno. */
int fr_host_addresses(struct fr_address *addresses, unsigned room);

/* Puts a frame in the queue of the local's listener: to its client, from the address it knows. Returns how many wait;
 * at FR_SEND_BATCH the queue must be sent. The payload is borrowed until then. */
static inline unsigned fr_client_queue_add(struct fr_client_queue *queue, const struct fr_local *local,
                                           const struct fr_frame *frame)
{
    unsigned at = queue->count++;
    struct msghdr *message = &queue->messages[at].msg_hdr;

    message->msg_namelen = fr_address_to_sockaddr(&frame->client, local->family, &queue->names[at]);
    message->msg_controllen = local->control_bytes;
    if (local->control_bytes)
        message->msg_control = (void *)local->control;
    queue->iovecs[at] = (struct iovec){(void *)frame->payload, frame->length};
    return at + 1;
}

#endif
