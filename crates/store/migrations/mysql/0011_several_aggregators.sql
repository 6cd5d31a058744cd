-- Format 11: several aggregators. Who shows the business section of the metrics, which processes
-- run, and who counts each partition. `restored` is 1 from when the ledger was put back to an
-- earlier state until the log is counted up to its end again.
CREATE TABLE IF NOT EXISTS publisher (
    one BIGINT NOT NULL PRIMARY KEY,
    term BIGINT NOT NULL,
    holder BINARY(16),
    beat BIGINT NOT NULL,
    restored BIGINT NOT NULL,
    CHECK (one = 1),
    CHECK (restored IN (0, 1))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
INSERT IGNORE INTO publisher VALUES (1, 0, NULL, 0, 0);
-- What each process said of itself last; when, by its own clock. Nothing that counts reads it.
CREATE TABLE IF NOT EXISTS process (
    id BINARY(16) NOT NULL PRIMARY KEY,
    role VARBINARY(1020) NOT NULL,
    address VARBINARY(1020) NOT NULL,
    program VARBINARY(1020) NOT NULL,
    started_us BIGINT NOT NULL,
    seen_us BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
CREATE TABLE IF NOT EXISTS partition_owner (
    generation BIGINT NOT NULL,
    `partition` BIGINT NOT NULL,
    process BINARY(16) NOT NULL,
    epoch BIGINT NOT NULL,
    halted VARBINARY(4096),
    resumes_at BIGINT,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (generation, `partition`)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
UPDATE meta SET format = 11;
