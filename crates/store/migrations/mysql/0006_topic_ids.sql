-- Format 6: a raw topic is what its id says. A letter has the id of its topic, so that an address
-- used again in a topic that was made anew is a letter of its own; '' where it is not known. And
-- how far each group of readers has come in each partition, in which topic: kept for ever, one row
-- each. Texts are bytes, so that none are folded.
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE raw_letter
            ADD COLUMN topic_id VARBINARY(255) NOT NULL DEFAULT '''' AFTER topic,
            DROP PRIMARY KEY,
            ADD PRIMARY KEY (topic, topic_id, `partition`, at, idx)',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'raw_letter' AND column_name = 'topic_id'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
CREATE TABLE IF NOT EXISTS raw_place (
    reader VARBINARY(255) NOT NULL,
    topic VARBINARY(255) NOT NULL,
    `partition` BIGINT NOT NULL,
    topic_id VARBINARY(255) NOT NULL,
    next BIGINT NOT NULL,
    high BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (reader, topic, `partition`),
    CHECK (high >= next)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
UPDATE meta SET format = 6;
