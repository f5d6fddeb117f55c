/* The four client requests of callgrind that the gate's child needs, as functions ctypes can call. */
#include <valgrind/callgrind.h>
#include <valgrind/valgrind.h>

int fr_is_profiled(void);
void fr_profile_begin(void);
void fr_profile_zero(void);
void fr_profile_dump(const char *label);

/* Whether callgrind runs this process at all: outside of it the requests do nothing, and figures would be 0. */
int fr_is_profiled(void)
{
    return RUNNING_ON_VALGRIND != 0;
}

/* Start-up runs uncounted, which is several times faster; once begun, counting is never switched off again. */
void fr_profile_begin(void)
{
    CALLGRIND_START_INSTRUMENTATION;
}

void fr_profile_zero(void)
{
    CALLGRIND_ZERO_STATS;
}

void fr_profile_dump(const char *label)
{
    CALLGRIND_DUMP_STATS_AT(label);
}
