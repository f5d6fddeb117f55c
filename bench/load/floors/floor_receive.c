/* The floor of the way up: recvmmsg, and nothing is done with what came.
 * Source addresses are taken, because every relay has to know who sent; no control messages are.
 *
 * floor_receive --listen ADDR:PORT --tally FILE
 */
#include "../program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static uint8_t slots[FLOOR_BATCH][FLOOR_SLOT];
static struct sockaddr_in sources[FLOOR_BATCH];
static struct iovec vectors[FLOOR_BATCH];
static struct mmsghdr messages[FLOOR_BATCH];

int main(int argc, char **argv)
{
    struct sockaddr_in local = fr_parse_endpoint(fr_option_text(argc, argv, "--listen", NULL));
    struct fr_tally *tally = fr_map_tally(fr_option_text(argc, argv, "--tally", NULL));
    int fd = fr_open_udp(&local);
    fr_stop_on_signals();
    for (int i = 0; i < FLOOR_BATCH; i++) {
        vectors[i] = (struct iovec){slots[i], FLOOR_SLOT};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &sources[i], .msg_namelen = sizeof sources[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    fr_say_ready(fd, &local);
    while (!fr_stop) {
        int count = recvmmsg(fd, messages, FLOOR_BATCH, MSG_WAITFORONE, NULL);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            fr_fail("recvmmsg");
        }
        uint64_t bytes = 0;
        for (int i = 0; i < count; i++)
            bytes += messages[i].msg_len;
        fr_tally_add(&tally->bytes, bytes);
        fr_tally_add(&tally->calls, 1);
        fr_tally_add(&tally->packets, (uint64_t)count);
    }
    fr_say_totals(tally);
    return 0;
}
