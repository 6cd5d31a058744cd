-- Format 2: messages of raw topics, or events in them, that ingest could not take. Their content is
-- in the topic; a row of `n` beyond the hour's cap stands for all messages from `at` to `until`.
CREATE TABLE raw_letter (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    at INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    until INTEGER NOT NULL CHECK (until >= at),
    n INTEGER NOT NULL,
    kind TEXT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    event_id TEXT,
    stored_us INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, at, idx)
) STRICT;
CREATE INDEX raw_letter_stored ON raw_letter (stored_us);
UPDATE meta SET format = 2;
