-- Format 8: one commit adds the ranges of several partitions. The journal has one row for each
-- commit, and commit_range one for each of its partitions; a commit may accept losses of several.
CREATE TABLE commit_range (
    version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    base INTEGER NOT NULL,
    next INTEGER NOT NULL,
    events INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    first_clock_us INTEGER,
    last_clock_us INTEGER,
    PRIMARY KEY (version, generation, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO commit_range
    SELECT version, generation, partition, base, next, events, counted, input_tokens,
        output_tokens, digest, first_clock_us, last_clock_us
    FROM commit_journal;
CREATE TABLE commit_journal_of (
    version INTEGER PRIMARY KEY,
    commit_id BLOB NOT NULL UNIQUE,
    committed_us INTEGER NOT NULL
) STRICT;
INSERT INTO commit_journal_of SELECT version, commit_id, committed_us FROM commit_journal;
DROP TABLE commit_journal;
ALTER TABLE commit_journal_of RENAME TO commit_journal;
CREATE TABLE accepted_loss_of (
    version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    reason TEXT NOT NULL,
    accepted_us INTEGER NOT NULL,
    PRIMARY KEY (version, generation, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO accepted_loss_of
    SELECT version, generation, partition, next, frames, reason, accepted_us FROM accepted_loss;
DROP TABLE accepted_loss;
ALTER TABLE accepted_loss_of RENAME TO accepted_loss;
UPDATE meta SET format = 8;
