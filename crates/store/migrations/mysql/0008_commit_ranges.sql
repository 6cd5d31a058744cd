-- Format 8: one commit adds the ranges of several partitions. The journal has one row for each
-- commit, and commit_range one for each of its partitions; a commit may accept losses of several.
--
-- The journal becomes commit_range by its name: that waits for commits that have written their line,
-- and a program of before finds no journal afterwards that takes its line. So no line is lost, and
-- what such a program counts meanwhile is rolled back.
SET @gatemeter_step = (
    SELECT IF(count(*) = 0, 'RENAME TABLE commit_journal TO commit_range', 'DO 0')
    FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name = 'commit_range'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
CREATE TABLE IF NOT EXISTS commit_journal (
    version BIGINT NOT NULL PRIMARY KEY,
    commit_id BINARY(16) NOT NULL UNIQUE,
    committed_us BIGINT NOT NULL,
    KEY commit_journal_committed (committed_us)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'DO 0',
        'INSERT IGNORE INTO commit_journal (version, commit_id, committed_us)
            SELECT version, commit_id, committed_us FROM commit_range'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'commit_range' AND column_name = 'commit_id'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'DO 0',
        'ALTER TABLE commit_range
            DROP PRIMARY KEY,
            DROP INDEX commit_id,
            DROP INDEX commit_journal_committed,
            DROP COLUMN commit_id,
            DROP COLUMN committed_us,
            ADD PRIMARY KEY (version, generation, `partition`)'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'commit_range' AND column_name = 'commit_id'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 1,
        'ALTER TABLE accepted_loss
            DROP PRIMARY KEY,
            ADD PRIMARY KEY (version, generation, `partition`)',
        'DO 0'
    )
    FROM information_schema.key_column_usage
    WHERE table_schema = DATABASE() AND table_name = 'accepted_loss'
        AND constraint_name = 'PRIMARY'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
UPDATE meta SET format = 8;
