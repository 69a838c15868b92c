-- Finds the few jobs that could not be decided, among all the ledger's entries, by when that was.
-- depends: 0007.counters

CREATE INDEX booking_ledger_dead_letters ON booking_ledger (at, event_id, entry_number) WHERE kind = 'failed';
