-- Format 7: which frame version ingest writes. It is raised once every owner of a partition knows
-- the version, and never lowered: the log keeps such frames. So each claim tells the highest version
-- that its program knows (frames), and which claim told it (frames_epoch). A program that does not
-- tell raises epoch alone: where frames_epoch is another, the owner knows version 1 for certain and
-- nothing more.
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE meta ADD COLUMN frame_version BIGINT NOT NULL DEFAULT 1',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'meta' AND column_name = 'frame_version'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
SET @gatemeter_step = (
    SELECT IF(
        count(*) = 0,
        'ALTER TABLE partition_state
            ADD COLUMN frames BIGINT NOT NULL DEFAULT 1,
            ADD COLUMN frames_epoch BIGINT NOT NULL DEFAULT 0',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'partition_state'
        AND column_name = 'frames_epoch'
);
PREPARE gatemeter_step FROM @gatemeter_step;
EXECUTE gatemeter_step;
DEALLOCATE PREPARE gatemeter_step;
UPDATE meta SET format = 7;
