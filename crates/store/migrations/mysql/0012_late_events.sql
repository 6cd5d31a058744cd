-- Format 12: the second pass for late events. late_next: the late events of frames before it are
-- decided; merged, late_duplicate and expired: how. Those of before had no second pass, and some
-- may have been entered by hand since: they count as expired.
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE partition_state
            ADD COLUMN late_next BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN merged BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN late_duplicate BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN expired BIGINT NOT NULL DEFAULT 0',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'partition_state' AND column_name = 'late_next'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
UPDATE partition_state SET late_next = next, expired = late;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE partition_state
            ADD CONSTRAINT partition_state_late CHECK (
                late_next <= next AND merged >= 0 AND late_duplicate >= 0 AND expired >= 0
                AND merged + late_duplicate + expired <= late
            )',
        'DO 0'
    )
    FROM information_schema.table_constraints
    WHERE table_schema = DATABASE() AND table_name = 'partition_state'
        AND constraint_name = 'partition_state_late'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE baseline
            ADD COLUMN late_next BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN merged BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN late_duplicate BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN expired BIGINT NOT NULL DEFAULT 0',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'baseline' AND column_name = 'late_next'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
UPDATE baseline SET late_next = next, expired = late;
-- Late events of a range, -1 where nobody counted them, and where in the log a stretch of its clock
-- is.
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE commit_range
            ADD COLUMN late BIGINT NOT NULL DEFAULT -1,
            ADD INDEX commit_range_base (generation, `partition`, base),
            ADD INDEX commit_range_clock (generation, `partition`, last_clock_us)',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'commit_range' AND column_name = 'late'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
-- Late events that were added to the sums; kept as long as their frames are in the log.
CREATE TABLE IF NOT EXISTS late_merged (
    generation BIGINT NOT NULL,
    `partition` BIGINT NOT NULL,
    event_key BINARY(16) NOT NULL,
    time_us BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (generation, `partition`, event_key, time_us),
    INDEX late_merged_at (generation, `partition`, at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
UPDATE meta SET format = 12;
