-- Format 12: the second pass for late events. late_next: the late events of frames before it are
-- decided; merged, late_duplicate and expired: how. Those of before had no second pass, and some
-- may have been entered by hand since: they count as expired.
ALTER TABLE partition_state ADD COLUMN late_next INTEGER NOT NULL DEFAULT 0
    CHECK (late_next <= next);
ALTER TABLE partition_state ADD COLUMN merged INTEGER NOT NULL DEFAULT 0 CHECK (merged >= 0);
ALTER TABLE partition_state ADD COLUMN late_duplicate INTEGER NOT NULL DEFAULT 0
    CHECK (late_duplicate >= 0);
ALTER TABLE partition_state ADD COLUMN expired INTEGER NOT NULL DEFAULT 0
    CHECK (expired >= 0 AND merged + late_duplicate + expired <= late);
UPDATE partition_state SET late_next = next, expired = late;
ALTER TABLE baseline ADD COLUMN late_next INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN merged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN late_duplicate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;
UPDATE baseline SET late_next = next, expired = late;
-- Late events of a range, -1 where nobody counted them, and where in the log a stretch of its clock
-- is.
ALTER TABLE commit_range ADD COLUMN late INTEGER NOT NULL DEFAULT -1;
CREATE INDEX commit_range_base ON commit_range (generation, partition, base);
CREATE INDEX commit_range_clock ON commit_range (generation, partition, last_clock_us);
-- Late events that were added to the sums; kept as long as their frames are in the log.
CREATE TABLE late_merged (
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    event_key BLOB NOT NULL CHECK (length(event_key) = 16),
    time_us INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (generation, partition, event_key, time_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX late_merged_at ON late_merged (generation, partition, at);
UPDATE meta SET format = 12;
