#include "wire/demux.h"

#define TWICE(class) class, class
#define TIMES_4(class) TWICE(class), TWICE(class)
#define TIMES_16(class) TIMES_4(class), TIMES_4(class), TIMES_4(class), TIMES_4(class)
#define TIMES_64(class) TIMES_16(class), TIMES_16(class), TIMES_16(class), TIMES_16(class)

/* RFC 7983 §7. ZRTP (16-19) and TURN channels (64-79) share the port in that table and are
 * not spoken by WebRTC clients to us. Spelled out in runs rather than with range
 * initialisers, which C11 does not have. */
const uint8_t fr_first_byte_class[256] = {
    TIMES_4(FR_CLASS_STUN),                                                     /* 0-3 */
    TIMES_4(FR_CLASS_OTHER), TIMES_4(FR_CLASS_OTHER), TIMES_4(FR_CLASS_OTHER),  /* 4-15 */
    TIMES_4(FR_CLASS_OTHER),                                                    /* 16-19 */
    TIMES_4(FR_CLASS_DTLS), TIMES_4(FR_CLASS_DTLS), TIMES_4(FR_CLASS_DTLS),     /* 20-31 */
    TIMES_16(FR_CLASS_DTLS), TIMES_16(FR_CLASS_DTLS),                           /* 32-63 */
    TIMES_64(FR_CLASS_OTHER),                                                   /* 64-127 */
    TIMES_64(FR_CLASS_SRTP),                                                    /* 128-191 */
    TIMES_64(FR_CLASS_OTHER),                                                   /* 192-255 */
};
