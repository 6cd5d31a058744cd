-- Format 6: a raw topic is what its id says. A letter has the id of its topic, so that an address
-- used again in a topic that was made anew is a letter of its own; '' where it is not known. And
-- how far each group of readers has come in each partition, in which topic: kept for ever, one row
-- each.
CREATE TABLE raw_letter_of (
    topic TEXT NOT NULL,
    topic_id TEXT NOT NULL,
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
    PRIMARY KEY (topic, topic_id, partition, at, idx)
) STRICT;
INSERT INTO raw_letter_of
    SELECT topic, '', partition, at, idx, until, n, kind, field, reason, event_id, stored_us
    FROM raw_letter;
DROP TABLE raw_letter;
ALTER TABLE raw_letter_of RENAME TO raw_letter;
CREATE INDEX raw_letter_stored ON raw_letter (stored_us);
CREATE TABLE raw_place (
    reader TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    topic_id TEXT NOT NULL,
    next INTEGER NOT NULL,
    high INTEGER NOT NULL CHECK (high >= next),
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (reader, topic, partition)
) STRICT;
UPDATE meta SET format = 6;
