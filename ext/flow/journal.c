/* The journal of flow events. See journal.h. */
#include "flow/journal.h"

#include "clock.h"

void fr_journal_write(struct fr_journal *journal, enum fr_journal_kind kind, uint64_t session_id,
                      const struct fr_address *client, const struct fr_address *transceiver)
{
    uint64_t number = journal->next;
    struct fr_journal_entry *entry = &journal->entries[number % FR_JOURNAL_ENTRIES];

    /* a reader that sees anything of this entry also sees that the one before is whole */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *entry = (struct fr_journal_entry){
        .unix_ms = fr_realtime_ns() / 1000000u,
        .session_id = session_id,
        .client = *client,
        .transceiver = *transceiver,
        .kind = kind,
    };
    __atomic_store_n(&journal->next, number + 1, __ATOMIC_RELEASE);
}
