/* Any datagram has a class, told by at most two bytes. */
#include "wire/demux.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum fr_packet_class class = fr_classify(data, size);
    if (class > FR_CLASS_OTHER)
        abort();
    /* what lies beyond the second byte decides nothing */
    if (size > 2 && class != fr_classify(data, 2))
        abort();
    return 0;
}
