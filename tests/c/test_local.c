/* Local addresses: the list, and over loopback that a reply leaves from the very address the datagram had reached. */
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

static void a_local_address_belongs_to_its_listener(void)
{
    static struct fr_locals locals;
    const struct fr_listener listeners[] = {{.is_wildcard = true}, {.is_wildcard = false}};
    struct fr_address v4 = address_of("192.0.2.1", 3478, 0), v6 = address_of("fe80::1", 3478, 2);
    struct fr_address other_scope = address_of("fe80::1", 3478, 3), other_port = address_of("192.0.2.1", 3479, 0);
    CHECK(fr_locals_of_family(&locals, true) == -ENOENT);
    CHECK(fr_locals_add(&locals, listeners, 1, &v6) == 0);
    CHECK(fr_locals_of_family(&locals, true) == -ENOENT && fr_locals_of_family(&locals, false) == 0);
    CHECK(fr_locals_add(&locals, listeners, 0, &v4) == 1);
    CHECK(fr_locals_of_family(&locals, true) == 1);
    CHECK(fr_locals_find(&locals, 0, &v4) == 1 && fr_locals_find(&locals, 1, &v4) == -ENOENT);
    CHECK(fr_locals_find(&locals, 1, &v6) == 0 && fr_locals_find(&locals, 1, &other_scope) == -ENOENT);
    CHECK(fr_locals_is_own(&locals, &v4) && fr_locals_is_own(&locals, &v6));
    CHECK(!fr_locals_is_own(&locals, &other_port) && !fr_locals_is_own(&locals, &other_scope));
    CHECK(locals.entries[0].control_bytes == 0 && locals.entries[1].control_bytes > 0);
}

static void no_more_addresses_are_taken_than_there_is_room_for(void)
{
    static struct fr_locals locals;
    const struct fr_listener listener = {.is_wildcard = true};
    for (unsigned host = 0; host < FR_LOCALS; host++) {
        struct fr_address address = fr_address_v4(htonl(0x0a000001u + host), htons(1));
        CHECK(fr_locals_add(&locals, &listener, 0, &address) == (int)host);
    }
    struct fr_address address = fr_address_v4(htonl(0x0b000001u), htons(1));
    CHECK(fr_locals_add(&locals, &listener, 0, &address) == -ENOSPC);
    CHECK(locals.count == FR_LOCALS && fr_locals_find(&locals, 0, &address) == -ENOENT);
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
        static struct fr_locals locals;
        const struct fr_listener listener = {.is_wildcard = true};
        struct fr_address address = address_of(rows[row].text, 77, rows[row].scope), destination;
        locals.count = 0;
        CHECK(fr_locals_add(&locals, &listener, 0, &address) == 0);
        CHECK(locals.entries[0].control_bytes <= FR_LOCAL_CONTROL);
        CHECK(destination_of(locals.entries[0].control, locals.entries[0].control_bytes, &destination));
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
    static struct fr_locals locals;
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

    locals.count = 0;
    CHECK(fr_locals_add(&locals, &listener, 0, &destination) == 0);
    struct msghdr answer = {.msg_name = &name, .msg_namelen = heard.msg_namelen, .msg_iov = &iovec, .msg_iovlen = 1,
                            .msg_control = locals.entries[0].control,
                            .msg_controllen = locals.entries[0].control_bytes};
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
    no_more_addresses_are_taken_than_there_is_room_for();
    what_is_prepared_is_what_would_be_read();
    other_control_messages_say_nothing();
    an_answer_leaves_from_the_address_that_was_reached();
    the_host_has_addresses_and_room_bounds_them();
    return check_result();
}
