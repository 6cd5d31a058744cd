-- Format 2: messages of raw topics, or events in them, that ingest could not take. Their content is
-- in the topic; a row of `n` beyond the hour's cap stands for all messages from `at` to `until`.
CREATE TABLE IF NOT EXISTS raw_letter (
    topic VARCHAR(255) NOT NULL,
    `partition` BIGINT NOT NULL,
    at BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    until BIGINT NOT NULL,
    n BIGINT NOT NULL,
    kind VARCHAR(255) NOT NULL,
    field VARCHAR(255) NOT NULL,
    reason VARCHAR(255) NOT NULL,
    event_id VARCHAR(255),
    stored_us BIGINT NOT NULL,
    PRIMARY KEY (topic, `partition`, at, idx),
    KEY raw_letter_stored (stored_us),
    CHECK (until >= at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
UPDATE meta SET format = 2;
