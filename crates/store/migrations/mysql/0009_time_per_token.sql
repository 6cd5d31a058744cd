-- Format 9: how fast answers were written after their first token (tpot: time per output token).
-- Totals and quarter-hours have its sum and histogram. A ledger that counted before has none of what
-- it counted until then: tpot_from is the offset from which the frames of a partition are counted
-- with it.
--
-- The columns have no default, and total gets them first: that waits for commits that have added to
-- it, and what a program of before would add afterwards is an error, since every counted event adds
-- to a total. So nothing is counted without them once the offsets are noted.
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE total
            ADD COLUMN tpot_us BIGINT NOT NULL,
            ADD COLUMN tpot_0 BIGINT NOT NULL,
            ADD COLUMN tpot_1 BIGINT NOT NULL,
            ADD COLUMN tpot_2 BIGINT NOT NULL,
            ADD COLUMN tpot_3 BIGINT NOT NULL,
            ADD COLUMN tpot_4 BIGINT NOT NULL,
            ADD COLUMN tpot_5 BIGINT NOT NULL,
            ADD COLUMN tpot_6 BIGINT NOT NULL,
            ADD COLUMN tpot_7 BIGINT NOT NULL,
            ADD COLUMN tpot_8 BIGINT NOT NULL,
            ADD COLUMN tpot_9 BIGINT NOT NULL,
            ADD COLUMN tpot_10 BIGINT NOT NULL,
            ADD COLUMN tpot_11 BIGINT NOT NULL,
            ADD COLUMN tpot_12 BIGINT NOT NULL,
            ADD COLUMN tpot_13 BIGINT NOT NULL,
            ADD COLUMN tpot_14 BIGINT NOT NULL,
            ADD COLUMN tpot_15 BIGINT NOT NULL,
            ADD COLUMN tpot_16 BIGINT NOT NULL,
            ADD COLUMN tpot_17 BIGINT NOT NULL',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'total' AND column_name = 'tpot_us'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE quarter
            ADD COLUMN tpot_us BIGINT NOT NULL,
            ADD COLUMN tpot_0 BIGINT NOT NULL,
            ADD COLUMN tpot_1 BIGINT NOT NULL,
            ADD COLUMN tpot_2 BIGINT NOT NULL,
            ADD COLUMN tpot_3 BIGINT NOT NULL,
            ADD COLUMN tpot_4 BIGINT NOT NULL,
            ADD COLUMN tpot_5 BIGINT NOT NULL,
            ADD COLUMN tpot_6 BIGINT NOT NULL,
            ADD COLUMN tpot_7 BIGINT NOT NULL,
            ADD COLUMN tpot_8 BIGINT NOT NULL,
            ADD COLUMN tpot_9 BIGINT NOT NULL,
            ADD COLUMN tpot_10 BIGINT NOT NULL,
            ADD COLUMN tpot_11 BIGINT NOT NULL,
            ADD COLUMN tpot_12 BIGINT NOT NULL,
            ADD COLUMN tpot_13 BIGINT NOT NULL,
            ADD COLUMN tpot_14 BIGINT NOT NULL,
            ADD COLUMN tpot_15 BIGINT NOT NULL,
            ADD COLUMN tpot_16 BIGINT NOT NULL,
            ADD COLUMN tpot_17 BIGINT NOT NULL',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'quarter' AND column_name = 'tpot_us'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE baseline_total
            ADD COLUMN tpot_us BIGINT NOT NULL,
            ADD COLUMN tpot_0 BIGINT NOT NULL,
            ADD COLUMN tpot_1 BIGINT NOT NULL,
            ADD COLUMN tpot_2 BIGINT NOT NULL,
            ADD COLUMN tpot_3 BIGINT NOT NULL,
            ADD COLUMN tpot_4 BIGINT NOT NULL,
            ADD COLUMN tpot_5 BIGINT NOT NULL,
            ADD COLUMN tpot_6 BIGINT NOT NULL,
            ADD COLUMN tpot_7 BIGINT NOT NULL,
            ADD COLUMN tpot_8 BIGINT NOT NULL,
            ADD COLUMN tpot_9 BIGINT NOT NULL,
            ADD COLUMN tpot_10 BIGINT NOT NULL,
            ADD COLUMN tpot_11 BIGINT NOT NULL,
            ADD COLUMN tpot_12 BIGINT NOT NULL,
            ADD COLUMN tpot_13 BIGINT NOT NULL,
            ADD COLUMN tpot_14 BIGINT NOT NULL,
            ADD COLUMN tpot_15 BIGINT NOT NULL,
            ADD COLUMN tpot_16 BIGINT NOT NULL,
            ADD COLUMN tpot_17 BIGINT NOT NULL',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'baseline_total' AND column_name = 'tpot_us'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE partition_state ADD COLUMN tpot_from BIGINT NOT NULL DEFAULT 0',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'partition_state'
        AND column_name = 'tpot_from'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
UPDATE partition_state SET tpot_from = next;
UPDATE meta SET format = 9;
