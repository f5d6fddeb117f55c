/* A relay made dearer on purpose: preloaded into a relay's process by the gate's trials, and by nothing else.
 *
 * Lives here: recvmmsg and sendmmsg with a burden. Must not live here: how large it is (slowing.py).
 *
 * FASTRELAY_SLOW_TURNS    turns of a loop in registers, for every datagram that a call has moved
 * FASTRELAY_SLOW_DIVISOR  recvmmsg asks the kernel for this many times fewer datagrams
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static int (*real_recvmmsg)(int, struct mmsghdr *, unsigned int, int, struct timespec *);
static int (*real_sendmmsg)(int, struct mmsghdr *, unsigned int, int);
static unsigned long turns;
static unsigned int divisor = 1;

void fr_slow_burn(unsigned long count);

static unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void prepare(void)
{
    /* dlsym gives data pointers; POSIX promises that they can hold a function's address */
    *(void **)&real_recvmmsg = dlsym(RTLD_NEXT, "recvmmsg");
    *(void **)&real_sendmmsg = dlsym(RTLD_NEXT, "sendmmsg");
    turns = setting("FASTRELAY_SLOW_TURNS", 0);
    divisor = (unsigned int)setting("FASTRELAY_SLOW_DIVISOR", 1);
    if (!real_recvmmsg || !real_sendmmsg || !divisor)
        abort();
}

/* Each step waits for the one before, so that its time does not vanish in idle units of the processor. */
void fr_slow_burn(unsigned long count)
{
    uint64_t state = 1;
    while (count--) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        __asm__ volatile("" : "+r"(state));
    }
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int room, int flags, struct timespec *timeout)
{
    unsigned int asked = room > divisor ? room / divisor : 1;
    int moved = real_recvmmsg(fd, messages, asked, flags, timeout);
    if (moved > 0)
        fr_slow_burn(turns * (unsigned long)moved);
    return moved;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    int moved = real_sendmmsg(fd, messages, count, flags);
    if (moved > 0)
        fr_slow_burn(turns * (unsigned long)moved);
    return moved;
}
