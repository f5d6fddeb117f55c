/* A client's or peer's UDP address as one fixed-size value.
 *
 * Lives here: the one representation of an address used by the flow table, the
 * trunk and the sockets, and its conversions from and to sockaddr. IPv4 is held
 * v4-mapped (::ffff:a.b.c.d), so every comparison and hash is over the same three
 * words and no caller branches on the family.
 * Must not live here: text forms, sockets, policy.
 */
#ifndef FR_WIRE_ADDRESS_H
#define FR_WIRE_ADDRESS_H

#include <endian.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct fr_address {
    uint64_t high;     /* first eight address bytes, in memory order */
    uint64_t low;      /* last eight address bytes, in memory order */
    union {
        struct {
            uint32_t scope;   /* interface index of an IPv6 link-local address, else 0 */
            uint16_t port_be; /* network order, as it travels */
            uint16_t zero;    /* always 0, so that the third word compares as a whole */
        };
        uint64_t endpoint; /* the three together */
    };
};

_Static_assert(sizeof(struct fr_address) == 24, "three words: hashed and compared whole");

/* The four bytes of the v4-mapped prefix ::ffff:0:0/96 that stand before the IPv4 address in `low`. */
#define FR_V4_PREFIX htobe32(0x0000ffff)

static inline uint64_t fr_address_v4_low(uint32_t address_be)
{
    uint32_t halves[2] = {FR_V4_PREFIX, address_be};
    uint64_t low;
    memcpy(&low, halves, 8);
    return low;
}

static inline struct fr_address fr_address_v4(uint32_t address_be, uint16_t port_be)
{
    /* written as the whole word it is read as: three narrow stores would stall the load that follows */
    unsigned port_shift = htobe16(1) == 1 ? 16 : 32;
    return (struct fr_address){.high = 0, .low = fr_address_v4_low(address_be), .endpoint = (uint64_t)port_be << port_shift};
}

static inline bool fr_address_is_v4(const struct fr_address *address)
{
    uint32_t prefix;
    memcpy(&prefix, &address->low, 4);
    return address->high == 0 && prefix == FR_V4_PREFIX;
}

/* IPv6 fe80::/10: the only addresses that need a scope. */
static inline bool fr_address_is_link_local(const struct fr_address *address)
{
    const uint8_t *bytes = (const uint8_t *)&address->high;
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

static inline uint32_t fr_address_v4_be(const struct fr_address *address)
{
    uint32_t address_be;
    memcpy(&address_be, (const uint8_t *)&address->low + 4, 4);
    return address_be;
}

static inline bool fr_address_equal(const struct fr_address *a, const struct fr_address *b)
{
    return ((a->high ^ b->high) | (a->low ^ b->low) | (a->endpoint ^ b->endpoint)) == 0;
}

/* False for any family but AF_INET and AF_INET6; *address is then untouched. */
static inline bool fr_address_from_sockaddr(struct fr_address *address, const void *socket_address)
{
    const struct sockaddr_in *in4 = socket_address;
    if (in4->sin_family == AF_INET) {
        *address = fr_address_v4(in4->sin_addr.s_addr, in4->sin_port);
        return true;
    }
    if (in4->sin_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = socket_address;
        memcpy(&address->high, in6->sin6_addr.s6_addr, 8);
        memcpy(&address->low, in6->sin6_addr.s6_addr + 8, 8);
        address->scope = IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ? in6->sin6_scope_id : 0;
        address->port_be = in6->sin6_port;
        address->zero = 0;
        return true;
    }
    return false;
}

/* Writes the form a socket of `family` wants and returns its length; 0 when an
 * IPv6 address cannot be reached through an AF_INET socket. */
static inline socklen_t fr_address_to_sockaddr(const struct fr_address *address, int family, void *socket_address)
{
    if (family == AF_INET) {
        struct sockaddr_in *in4 = socket_address;
        if (!fr_address_is_v4(address))
            return 0;
        *in4 = (struct sockaddr_in){
            .sin_family = AF_INET,
            .sin_port = address->port_be,
            .sin_addr.s_addr = fr_address_v4_be(address),
        };
        return sizeof *in4;
    }
    struct sockaddr_in6 *in6 = socket_address;
    memset(in6, 0, sizeof *in6);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = address->port_be;
    memcpy(in6->sin6_addr.s6_addr, &address->high, 8);
    memcpy(in6->sin6_addr.s6_addr + 8, &address->low, 8);
    in6->sin6_scope_id = address->scope;
    return sizeof *in6;
}

#endif
