-- Format 7: which frame version ingest writes. It is raised once every owner of a partition knows
-- the version, and never lowered: the log keeps such frames. So each claim tells the highest version
-- that its program knows (frames), and which claim told it (frames_epoch). A program that does not
-- tell raises epoch alone: where frames_epoch is another, the owner knows version 1 for certain and
-- nothing more.
ALTER TABLE meta ADD COLUMN frame_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE partition_state ADD COLUMN frames INTEGER NOT NULL DEFAULT 1;
ALTER TABLE partition_state ADD COLUMN frames_epoch INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET format = 7;
