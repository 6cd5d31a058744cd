-- Format 11: several aggregators. Who shows the business section of the metrics, which processes
-- run, and who counts each partition. `restored` is 1 from when the ledger was put back to an
-- earlier state until the log is counted up to its end again.
CREATE TABLE publisher (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    term INTEGER NOT NULL,
    holder BLOB CHECK (length(holder) = 16),
    beat INTEGER NOT NULL,
    restored INTEGER NOT NULL CHECK (restored IN (0, 1))
) STRICT;
INSERT INTO publisher VALUES (1, 0, NULL, 0, 0);
-- What each process said of itself last; when, by its own clock. Nothing that counts reads it.
CREATE TABLE process (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    role TEXT NOT NULL,
    address TEXT NOT NULL,
    program TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    seen_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE partition_owner (
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    process BLOB NOT NULL CHECK (length(process) = 16),
    epoch INTEGER NOT NULL,
    halted TEXT,
    resumes_at INTEGER,
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (generation, partition)
) STRICT, WITHOUT ROWID;
UPDATE meta SET format = 11;
