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

int fr_locals_add(struct fr_locals *locals, const struct fr_listener *listeners, unsigned listener,
                  const struct fr_address *address)
{
    if (locals->count == FR_LOCALS)
        return -ENOSPC;
    struct fr_local *local = &locals->entries[locals->count];
    local->address = *address;
    local->listener = (uint8_t)listener;
    local->family = (uint16_t)listeners[listener].family;
    local->control_bytes = listeners[listener].is_wildcard ? prepare_control(address, local->control) : 0;
    return (int)locals->count++;
}

int fr_locals_find(const struct fr_locals *locals, unsigned listener, const struct fr_address *address)
{
    for (unsigned i = 0; i < locals->count; i++)
        if (locals->entries[i].listener == listener && fr_address_equal(&locals->entries[i].address, address))
            return (int)i;
    return -ENOENT;
}

int fr_locals_of_family(const struct fr_locals *locals, bool is_v4)
{
    for (unsigned i = 0; i < locals->count; i++)
        if (fr_address_is_v4(&locals->entries[i].address) == is_v4)
            return (int)i;
    return -ENOENT;
}

bool fr_locals_is_own(const struct fr_locals *locals, const struct fr_address *source)
{
    for (unsigned i = 0; i < locals->count; i++)
        if (fr_address_equal(&locals->entries[i].address, source))
            return true;
    return false;
}

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
