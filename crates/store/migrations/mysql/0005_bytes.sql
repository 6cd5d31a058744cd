-- Format 5: every text is bytes. utf8mb4_bin compares code points, but pads: it takes `ann` and
-- `ann ` for one where it groups, sorts, or looks for a key. Bytes are equal if they are the same,
-- on MySQL and MariaDB as in SQLite, and they sort as UTF-8 does. What is stored stays as it is.
--
-- 1020 bytes hold what 255 characters of utf8mb4 held, and an index takes no more of them than
-- before. A table that has its bytes already is left alone, so that a step which was cut off is
-- taken once more.
ALTER TABLE series
    MODIFY namespace VARBINARY(1020) NOT NULL,
    MODIFY upstream VARBINARY(1020) NOT NULL,
    MODIFY model VARBINARY(1020) NOT NULL,
    MODIFY endpoint VARBINARY(1020) NOT NULL,
    MODIFY limited_by VARBINARY(1020);
ALTER TABLE series_short
    MODIFY namespace VARBINARY(1020) NOT NULL,
    MODIFY upstream VARBINARY(1020) NOT NULL;
ALTER TABLE consumer_series
    MODIFY namespace VARBINARY(1020) NOT NULL,
    MODIFY consumer VARBINARY(1020) NOT NULL,
    MODIFY model VARBINARY(1020) NOT NULL;
ALTER TABLE label
    MODIFY scope VARBINARY(1020) NOT NULL;
ALTER TABLE label_budget
    MODIFY scope VARBINARY(1020) NOT NULL;
ALTER TABLE namespace
    MODIFY code VARBINARY(1020) NOT NULL,
    MODIFY name VARBINARY(1020) NOT NULL;
ALTER TABLE connections
    MODIFY gateway VARBINARY(1020) NOT NULL,
    MODIFY namespace VARBINARY(1020) NOT NULL;
ALTER TABLE access_key
    MODIFY role VARBINARY(1020) NOT NULL,
    MODIFY source VARBINARY(1020) NOT NULL;
ALTER TABLE dead_letter
    MODIFY class VARBINARY(1020) NOT NULL,
    MODIFY reason VARBINARY(1020) NOT NULL,
    MODIFY namespace VARBINARY(1020);
ALTER TABLE raw_letter
    MODIFY topic VARBINARY(1020) NOT NULL,
    MODIFY kind VARBINARY(1020) NOT NULL,
    MODIFY field VARBINARY(1020) NOT NULL,
    MODIFY reason VARBINARY(1020) NOT NULL,
    MODIFY event_id VARBINARY(1020);
ALTER TABLE accepted_loss
    MODIFY reason VARBINARY(4096) NOT NULL;
UPDATE meta SET format = 5;
