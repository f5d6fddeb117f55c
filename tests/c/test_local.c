/* Local addresses: the list, how it passes from worker to worker, and over loopback that a reply leaves from the very address the datagram had reached. */
#include "io/local.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "check.h"
#include "io/batch.h"

static struct fr_address address_of(const char *text, uint16_t port, uint32_t scope)
{
    uint8_t bytes[16];
    struct fr_address address = {.scope = scope, .port_be = htons(port)};
    if (inet_pton(AF_INET, text, bytes) == 1) {
        uint32_t address_be;
        memcpy(&address_be, bytes, 4);
        return fr_address_v4(address_be, htons(port));
    }
    CHECK(inet_pton(AF_INET6, text, bytes) == 1);
    memcpy(&address.high, bytes, 8);
    memcpy(&address.low, bytes + 8, 8);
    return address;
}

/* An empty list over a page of its own, as a worker has it that nobody was before. */
static struct fr_locals *empty_list(void)
{
    static struct fr_local_page page;
    static struct fr_locals locals;
    memset(&page, 0, sizeof page);
    fr_locals_attach(&locals, &page, NULL, 0);
    return &locals;
}

/* The list as the next worker finds it in the page. */
static struct fr_locals *next_list(struct fr_local_page *page, const struct fr_listener *listeners, unsigned count)
{
    static struct fr_locals locals;
    memset(&locals, 0xa5, sizeof locals);
    fr_locals_attach(&locals, page, listeners, count);
    return &locals;
}

static struct fr_listener bound_to(struct fr_address address)
{
    return (struct fr_listener){.family = fr_address_is_v4(&address) ? AF_INET : AF_INET6, .bound = address};
}

static struct fr_listener wildcard(int family, uint16_t port)
{
    struct fr_listener listener = {.family = family, .is_wildcard = true, .bound.port_be = htons(port)};
    if (family == AF_INET)
        listener.bound = fr_address_v4(0, htons(port));
    return listener;
}

static bool is_served(const struct fr_locals *locals, unsigned via)
{
    return locals->entries[via].listener != FR_NO_LISTENER;
}

/* --- the list -------------------------------------------------------------- */

static void a_local_address_belongs_to_its_listener(void)
{
    struct fr_locals *locals = empty_list();
    const struct fr_listener listeners[] = {{.is_wildcard = true}, {.is_wildcard = false}};
    struct fr_address v4 = address_of("192.0.2.1", 3478, 0), v6 = address_of("fe80::1", 3478, 2);
    struct fr_address other_scope = address_of("fe80::1", 3478, 3), other_port = address_of("192.0.2.1", 3479, 0);
    CHECK(fr_locals_usable(locals, 0, true) == -ENOENT);
    CHECK(fr_locals_add(locals, listeners, 1, &v6, true) == 0);
    CHECK(fr_locals_usable(locals, 0, true) == -ENOENT && fr_locals_usable(locals, 0, false) == 0);
    CHECK(fr_locals_add(locals, listeners, 0, &v4, true) == 1);
    CHECK(fr_locals_find(locals, 0, &v4) == 1 && fr_locals_find(locals, 1, &v4) == -ENOENT);
    CHECK(fr_locals_find(locals, 1, &v6) == 0 && fr_locals_find(locals, 1, &other_scope) == -ENOENT);
    CHECK(fr_locals_is_own(locals, &v4) && fr_locals_is_own(locals, &v6));
    CHECK(!fr_locals_is_own(locals, &other_port) && !fr_locals_is_own(locals, &other_scope));
    CHECK(locals->entries[0].control_bytes == 0 && locals->entries[1].control_bytes > 0);
    CHECK(fr_locals_add(locals, listeners, 0, &v4, true) == 1 && locals->count == 2);
}

static void a_via_that_cannot_be_sent_from_becomes_the_first_named_of_its_family(void)
{
    struct fr_locals *locals = empty_list();
    const struct fr_listener listeners[] = {wildcard(AF_INET, 1), wildcard(AF_INET6, 1)};
    const struct { const char *text; unsigned listener; bool is_named; } rows[] = {
        {"192.0.2.9", 0, false}, {"2001:db8::9", 1, false}, {"2001:db8::8", 1, false}, {"192.0.2.1", 0, true},
        {"192.0.2.2", 0, true},
    };
    const struct { unsigned via; bool is_v4; int usable; } expected[] = {
        {0, true, 0}, {3, true, 3}, {1, true, 3}, {5, true, 3}, {65535, true, 3}, {0, false, 1}, {2, false, 2},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct fr_address address = address_of(rows[row].text, 1, 0);
        CHECK(fr_locals_add(locals, listeners, rows[row].listener, &address, rows[row].is_named) == (int)row);
    }
    for (unsigned row = 0; row < sizeof expected / sizeof *expected; row++)
        CHECK(fr_locals_usable(locals, expected[row].via, expected[row].is_v4) == expected[row].usable);
}

static void what_a_socket_is_bound_to_is_answered_by_that_socket(void)
{
    const struct fr_address address = address_of("192.0.2.1", 3478, 0);
    const struct fr_listener listeners[] = {wildcard(AF_INET, 3478), bound_to(address)};
    for (unsigned first = 0; first < 2; first++) {
        struct fr_locals *locals = empty_list();
        CHECK(fr_locals_add(locals, listeners, first, &address, true) == 0);
        CHECK(fr_locals_add(locals, listeners, 1 - first, &address, true) == 0 && locals->count == 1);
        CHECK(locals->entries[0].listener == 1 && locals->entries[0].control_bytes == 0);
    }
}

static void no_more_addresses_are_learned_than_there_is_room_for(void)
{
    struct fr_locals *locals = empty_list();
    const struct fr_listener listener = wildcard(AF_INET, 1);
    for (unsigned host = 0; host < FR_LOCALS; host++) {
        struct fr_address address = fr_address_v4(htonl(0x0a000001u + host), htons(1));
        CHECK(fr_locals_add(locals, &listener, 0, &address, host < 2) == (int)host);
    }
    struct fr_address address = fr_address_v4(htonl(0x0b000001u), htons(1));
    CHECK(fr_locals_add(locals, &listener, 0, &address, false) == -ENOSPC);
    CHECK(locals->count == FR_LOCALS && fr_locals_find(locals, 0, &address) == -ENOENT);
    /* at start, what the host has for certain comes before what was learned once */
    for (unsigned host = 2; host < FR_LOCALS; host++) {
        address = fr_address_v4(htonl(0x0b000001u + host), htons(1));
        CHECK(fr_locals_add(locals, &listener, 0, &address, true) >= 2);
    }
    address = fr_address_v4(htonl(0x0c000001u), htons(1));
    CHECK(fr_locals_add(locals, &listener, 0, &address, true) == -ENOSPC);
}

/* --- from one worker to the next --------------------------------------------- */

static void a_via_means_the_same_address_under_other_listeners(void)
{
    const struct fr_address a = address_of("192.0.2.1", 3478, 0), b = address_of("192.0.2.2", 3478, 0);
    const struct fr_address v6 = address_of("2001:db8::1", 3478, 0), other_port = address_of("192.0.2.1", 3479, 0);
    const struct fr_listener before[] = {bound_to(a), bound_to(b), bound_to(v6), bound_to(other_port)};
    const struct fr_listener after[] = {wildcard(AF_INET, 3478), bound_to(b)};
    struct fr_locals *locals = empty_list();
    struct fr_local_page *page = locals->page;
    for (unsigned via = 0; via < 4; via++)
        CHECK(fr_locals_add(locals, before, via, &before[via].bound, true) == (int)via);
    locals = next_list(page, after, 2);
    CHECK(locals->count == 4 && locals->page == page);
    CHECK(locals->entries[0].listener == 0 && locals->entries[0].control_bytes > 0);
    CHECK(locals->entries[1].listener == 1 && locals->entries[1].control_bytes == 0);
    CHECK(!is_served(locals, 2) && !is_served(locals, 3)); /* another family, another port */
    CHECK(fr_locals_usable(locals, 3, true) == 0 && fr_locals_usable(locals, 2, false) == -ENOENT);
    CHECK(fr_locals_is_own(locals, &a) && !fr_locals_is_own(locals, &v6));
    CHECK(fr_locals_find(locals, 0, &v6) == -ENOENT && fr_locals_find(locals, FR_NO_LISTENER - 1, &v6) == -ENOENT);
    locals = next_list(page, before, 4);
    for (unsigned via = 0; via < 4; via++)
        CHECK(locals->entries[via].listener == via && fr_address_equal(&locals->entries[via].address, &before[via].bound));
}

static void a_learned_address_is_still_known_to_the_next_worker(void)
{
    const struct fr_listener listener = wildcard(AF_INET, 3478);
    const struct fr_address named = address_of("192.0.2.1", 3478, 0), learned = address_of("127.0.0.77", 3478, 0);
    struct fr_locals *locals = empty_list();
    struct fr_local_page *page = locals->page;
    CHECK(fr_locals_add(locals, &listener, 0, &named, true) == 0);
    CHECK(fr_locals_add(locals, &listener, 0, &learned, false) == 1);
    const struct fr_address earlier = address_of("192.0.2.0", 3478, 0); /* would have come before in the host's list */
    locals = next_list(page, &listener, 1);
    CHECK(fr_locals_add(locals, &listener, 0, &earlier, true) == 2 && fr_locals_add(locals, &listener, 0, &named, true) == 0);
    CHECK(fr_locals_find(locals, 0, &learned) == 1 && fr_locals_usable(locals, 1, true) == 1);
    CHECK(fr_locals_usable(locals, 9, true) == 0);
}

static void an_address_that_nobody_serves_gives_up_its_place_when_all_are_taken(void)
{
    const struct fr_listener old = wildcard(AF_INET, 1), new = wildcard(AF_INET, 2);
    struct fr_locals *locals = empty_list();
    struct fr_local_page *page = locals->page;
    for (unsigned host = 0; host < FR_LOCALS; host++) {
        struct fr_address address = fr_address_v4(htonl(0x0a000001u + host), htons(host == 5 ? 2 : 1));
        CHECK(fr_locals_add(locals, &old, 0, &address, true) == (int)host);
    }
    locals = next_list(page, &new, 1);
    struct fr_address address = fr_address_v4(htonl(0x0a000001u), htons(2));
    CHECK(is_served(locals, 5) && !is_served(locals, 0));
    CHECK(fr_locals_add(locals, &new, 0, &address, false) == 0 && locals->count == FR_LOCALS);
    CHECK(fr_address_equal(&page->addresses[0], &address) && is_served(locals, 0) && is_served(locals, 5));
}

static void a_page_in_ruins_is_no_worse_than_an_empty_one(void)
{
    static struct fr_local_page page;
    const struct fr_listener listeners[] = {wildcard(AF_INET, 1), wildcard(AF_INET6, 1)};
    const uint32_t counts[] = {0, 3, FR_LOCALS, FR_LOCALS + 1, UINT32_MAX};
    for (unsigned row = 0; row < sizeof counts / sizeof *counts; row++) {
        for (size_t at = 0; at < sizeof page; at++)
            ((uint8_t *)&page)[at] = (uint8_t)(at * 7919 >> 3);
        page.count = counts[row];
        struct fr_locals *locals = next_list(&page, listeners, 2);
        struct fr_address address = address_of("192.0.2.1", 1, 0);
        CHECK(locals->count == (counts[row] <= FR_LOCALS ? counts[row] : 0) && page.count == locals->count);
        int via = fr_locals_add(locals, listeners, 0, &address, true);
        CHECK(via >= 0 && via < FR_LOCALS && fr_locals_usable(locals, 65535, true) == via);
    }
}

/* --- control messages ------------------------------------------------------ */

static bool destination_of(const void *control, size_t length, struct fr_address *destination)
{
    uint8_t *copy = check_copy(control, length);
    struct msghdr message = {.msg_control = copy, .msg_controllen = length};
    bool is_said = fr_local_destination(&message, htons(77), destination);
    free(copy);
    return is_said;
}

static void what_is_prepared_is_what_would_be_read(void)
{
    const struct { const char *text; uint32_t scope; } rows[] = {
        {"192.0.2.1", 0}, {"2001:db8::1", 0}, {"fe80::1", 7}, {"::1", 0},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct fr_locals *locals = empty_list();
        const struct fr_listener listener = {.is_wildcard = true};
        struct fr_address address = address_of(rows[row].text, 77, rows[row].scope), destination;
        CHECK(fr_locals_add(locals, &listener, 0, &address, true) == 0);
        CHECK(locals->entries[0].control_bytes <= FR_LOCAL_CONTROL);
        CHECK(destination_of(locals->entries[0].control, locals->entries[0].control_bytes, &destination));
        CHECK(fr_address_equal(&destination, &address));
    }
}

static void other_control_messages_say_nothing(void)
{
    uint8_t control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct cmsghdr *header = (struct cmsghdr *)control;
    struct fr_address destination;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    CHECK(!destination_of(control, sizeof control, &destination));
    CHECK(!destination_of(control, 0, &destination));
    CHECK(!destination_of(control, sizeof(struct cmsghdr) - 1, &destination));
}

/* --- over loopback --------------------------------------------------------- */

static int open_bound(int family, struct fr_address *bound)
{
    union fr_sockaddr name = {0};
    socklen_t length = sizeof name;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    struct timeval patience = {.tv_sec = 5};
    name.any.sa_family = (sa_family_t)family;
    CHECK(fd >= 0 && bind(fd, &name.any, length) == 0 && getsockname(fd, &name.any, &length) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    if (family == AF_INET)
        CHECK(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0);
    else
        CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == 0);
    CHECK(fr_address_from_sockaddr(bound, &name));
    return fd;
}

/* A wildcard socket is reached at `text`; its answer must come from there. */
static void check_answer_from(int family, const char *text)
{
    struct fr_locals *locals = empty_list();
    static const struct fr_listener listener = {.is_wildcard = true};
    union fr_sockaddr name;
    uint8_t byte, control[FR_RECEIVE_CONTROL] __attribute__((aligned(8)));
    struct iovec iovec = {&byte, 1};
    struct fr_address wildcard, client, destination, source;
    int relay = open_bound(family, &wildcard), peer = open_bound(family, &client);
    struct fr_address local = address_of(text, ntohs(wildcard.port_be), 0);

    socklen_t length = fr_address_to_sockaddr(&local, family, &name);
    CHECK(sendto(peer, "?", 1, 0, &name.any, length) == 1);
    struct msghdr heard = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &iovec, .msg_iovlen = 1,
                           .msg_control = control, .msg_controllen = sizeof control};
    CHECK(recvmsg(relay, &heard, 0) == 1);
    CHECK(fr_local_destination(&heard, wildcard.port_be, &destination) && fr_address_equal(&destination, &local));

    CHECK(fr_locals_add(locals, &listener, 0, &destination, false) == 0);
    struct msghdr answer = {.msg_name = &name, .msg_namelen = heard.msg_namelen, .msg_iov = &iovec, .msg_iovlen = 1,
                            .msg_control = locals->entries[0].control,
                            .msg_controllen = locals->entries[0].control_bytes};
    CHECK(sendmsg(relay, &answer, 0) == 1);
    length = sizeof name;
    CHECK(recvfrom(peer, &byte, 1, 0, &name.any, &length) == 1);
    CHECK(fr_address_from_sockaddr(&source, &name) && fr_address_equal(&source, &local));
    close(relay);
    close(peer);
}

static void an_answer_leaves_from_the_address_that_was_reached(void)
{
    check_answer_from(AF_INET, "127.0.0.1");
    check_answer_from(AF_INET, "127.0.0.77"); /* the route alone would have picked 127.0.0.1 */
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    bool has_v6 = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    if (fd >= 0)
        close(fd);
    if (has_v6)
        check_answer_from(AF_INET6, "::1");
}

static void the_host_has_addresses_and_room_bounds_them(void)
{
    struct fr_address *addresses = calloc(FR_LOCALS, sizeof *addresses), *one = calloc(1, sizeof *one);
    struct fr_address loopback = address_of("127.0.0.1", 0, 0);
    int count = fr_host_addresses(addresses, FR_LOCALS);
    bool has_loopback = false;
    CHECK(count >= 1 && count <= FR_LOCALS);
    for (int at = 0; at < count; at++)
        has_loopback |= fr_address_equal(&addresses[at], &loopback);
    CHECK(has_loopback);
    CHECK(fr_host_addresses(one, 1) == 1);
    CHECK(fr_host_addresses(one, 0) == 0);
    free(addresses);
    free(one);
}

int main(void)
{
    a_local_address_belongs_to_its_listener();
    a_via_that_cannot_be_sent_from_becomes_the_first_named_of_its_family();
    what_a_socket_is_bound_to_is_answered_by_that_socket();
    no_more_addresses_are_learned_than_there_is_room_for();
    a_via_means_the_same_address_under_other_listeners();
    a_learned_address_is_still_known_to_the_next_worker();
    an_address_that_nobody_serves_gives_up_its_place_when_all_are_taken();
    a_page_in_ruins_is_no_worse_than_an_empty_one();
    what_is_prepared_is_what_would_be_read();
    other_control_messages_say_nothing();
    an_answer_leaves_from_the_address_that_was_reached();
    the_host_has_addresses_and_room_bounds_them();
    return check_result();
}
