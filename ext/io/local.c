/* The local addresses clients reach, and how to answer from the same one. See local.h. */
#include "io/local.h"

#include <errno.h>
#include <ifaddrs.h>
#include <string.h>

static uint8_t prepare_control(const struct fr_address *address, uint8_t *control)
{
    struct msghdr message = {.msg_control = control, .msg_controllen = FR_LOCAL_CONTROL};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    memset(control, 0, FR_LOCAL_CONTROL);
    if (fr_address_is_v4(address)) {
        struct in_pktinfo info = {.ipi_spec_dst.s_addr = fr_address_v4_be(address)};
        header->cmsg_level = IPPROTO_IP;
        header->cmsg_type = IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(header), &info, sizeof info);
        return CMSG_SPACE(sizeof info);
    }
    struct in6_pktinfo info = {.ipi6_ifindex = address->scope};
    memcpy(&info.ipi6_addr, &address->high, 8);
    memcpy((uint8_t *)&info.ipi6_addr + 8, &address->low, 8);
    header->cmsg_level = IPPROTO_IPV6;
    header->cmsg_type = IPV6_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    return CMSG_SPACE(sizeof info);
}

/* --- the list -------------------------------------------------------------- */

static int entry_of(const struct fr_locals *locals, const struct fr_address *address)
{
    for (unsigned via = 0; via < locals->count; via++)
        if (fr_address_equal(&locals->entries[via].address, address))
            return (int)via;
    return -ENOENT;
}

static void serve(struct fr_local *local, const struct fr_listener *listeners, unsigned listener)
{
    local->listener = (uint8_t)listener;
    local->family = (uint16_t)listeners[listener].family;
    local->control_bytes = listeners[listener].is_wildcard ? prepare_control(&local->address, local->control) : 0;
}

static int listener_for(const struct fr_listener *listeners, unsigned count, const struct fr_address *address)
{
    int wildcard = -ENOENT, family = fr_address_is_v4(address) ? AF_INET : AF_INET6;

    for (unsigned i = 0; i < count; i++) {
        const struct fr_listener *listener = &listeners[i];
        if (!listener->is_wildcard && fr_address_equal(&listener->bound, address))
            return (int)i;
        if (listener->is_wildcard && listener->family == family && listener->bound.port_be == address->port_be
            && !address->zero)
            wildcard = (int)i;
    }
    return wildcard;
}

void fr_locals_attach(struct fr_locals *locals, struct fr_local_page *page, const struct fr_listener *listeners,
                      unsigned listener_count)
{
    if (page->count > FR_LOCALS)
        page->count = 0;
    locals->page = page;
    locals->count = page->count;
    for (unsigned via = 0; via < locals->count; via++) {
        struct fr_local *local = &locals->entries[via];
        int listener = listener_for(listeners, listener_count, &page->addresses[via]);
        *local = (struct fr_local){.address = page->addresses[via], .listener = FR_NO_LISTENER};
        if (listener >= 0)
            serve(local, listeners, (unsigned)listener);
    }
}

/* Where a new address may stand. */
static int place_for(const struct fr_locals *locals, bool is_named)
{
    int learned = -ENOSPC;

    if (locals->count < FR_LOCALS)
        return (int)locals->count;
    for (unsigned via = 0; via < FR_LOCALS; via++) {
        if (locals->entries[via].listener == FR_NO_LISTENER)
            return (int)via;
        if (is_named && !locals->entries[via].is_named)
            learned = (int)via;
    }
    return learned;
}

static void write_entry(struct fr_locals *locals, unsigned via, const struct fr_address *address)
{
    locals->entries[via] = (struct fr_local){.address = *address, .listener = FR_NO_LISTENER};
    locals->page->addresses[via] = *address;
    if (via < locals->count)
        return;
    locals->count = via + 1;
    /* last: until here a crash leaves the list as it was */
    __atomic_store_n(&locals->page->count, locals->count, __ATOMIC_RELEASE);
}

int fr_locals_add(struct fr_locals *locals, const struct fr_listener *listeners, unsigned listener,
                  const struct fr_address *address, bool is_named)
{
    int via = entry_of(locals, address);

    if (via < 0) {
        via = place_for(locals, is_named);
        if (via < 0)
            return via;
        write_entry(locals, (unsigned)via, address);
    }
    struct fr_local *local = &locals->entries[via];
    /* what a socket is bound to reaches that socket, beside a wildcard one of the same port */
    if (local->listener == FR_NO_LISTENER || listeners[local->listener].is_wildcard)
        serve(local, listeners, listener);
    local->is_named |= is_named;
    return via;
}

int fr_locals_find(const struct fr_locals *locals, unsigned listener, const struct fr_address *address)
{
    for (unsigned i = 0; i < locals->count; i++)
        if (locals->entries[i].listener == listener && fr_address_equal(&locals->entries[i].address, address))
            return (int)i;
    return -ENOENT;
}

static bool can_reach(const struct fr_local *local, bool is_v4)
{
    return local->listener != FR_NO_LISTENER && fr_address_is_v4(&local->address) == is_v4;
}

int fr_locals_usable(const struct fr_locals *locals, unsigned via, bool is_v4)
{
    int learned = -ENOENT;

    if (via < locals->count && can_reach(&locals->entries[via], is_v4))
        return (int)via;
    for (unsigned i = 0; i < locals->count; i++) {
        if (!can_reach(&locals->entries[i], is_v4))
            continue;
        if (locals->entries[i].is_named)
            return (int)i;
        if (learned < 0)
            learned = (int)i;
    }
    return learned;
}

bool fr_locals_is_own(const struct fr_locals *locals, const struct fr_address *source)
{
    int via = entry_of(locals, source);

    return via >= 0 && locals->entries[via].listener != FR_NO_LISTENER;
}

/* --- control messages ------------------------------------------------------- */

bool fr_local_destination(struct msghdr *message, uint16_t port_be, struct fr_address *destination)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(header), sizeof info);
            *destination = fr_address_v4(info.ipi_spec_dst.s_addr, port_be);
            return true;
        }
        if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(header), sizeof info);
            memcpy(&destination->high, &info.ipi6_addr, 8);
            memcpy(&destination->low, (uint8_t *)&info.ipi6_addr + 8, 8);
            destination->scope = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
            destination->port_be = port_be;
            destination->zero = 0;
            return true;
        }
    }
    return false;
}

int fr_host_addresses(struct fr_address *addresses, unsigned room)
{
    struct ifaddrs *list;
    unsigned count = 0;

    if (getifaddrs(&list) < 0)
        return -errno;
    for (const struct ifaddrs *at = list; at && count < room; at = at->ifa_next)
        if (at->ifa_addr && fr_address_from_sockaddr(&addresses[count], at->ifa_addr))
            count++;
    freeifaddrs(list);
    return (int)count;
}
