/* What a C test needs: CHECK, exact-size copies, and an exit code.
 *
 * Each test_NAME.c is a program: its main calls its cases and returns check_result().
 * A failed CHECK says where, is counted, and lets the test go on.
 */
#ifndef FR_TEST_CHECK_H
#define FR_TEST_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned checks_made, checks_failed;

#define CHECK(claim) \
    do { \
        checks_made++; \
        if (!(claim)) { \
            checks_failed++; \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim); \
        } \
    } while (0)

/* A heap copy of exactly `length` bytes, so that ASan sees an over-read of one; the caller frees it. */
static inline uint8_t *check_copy(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy)
        exit(2);
    if (length)
        memcpy(copy, bytes, length);
    return copy;
}

static inline int check_result(void)
{
    printf("%u checks, %u failed\n", checks_made, checks_failed);
    return checks_failed != 0 || checks_made == 0;
}

#endif
