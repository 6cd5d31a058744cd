-- The ledger, format 1, for MySQL 8 and MariaDB: the tables of the SQLite file of that format.
--
-- Names compare by bytes (utf8mb4_bin), ids are BINARY(16), every number is a BIGINT: the sessions
-- of the program are strict, so that what does not fit is an error and never clamped. A server
-- commits after each of these statements; all may be carried out again, and meta comes last, so
-- that a step which was cut off is taken once more.

-- A generation of the log: never changed once it is made.
CREATE TABLE IF NOT EXISTS generation (
    generation BIGINT NOT NULL PRIMARY KEY,
    partitions BIGINT NOT NULL,
    secret BINARY(32) NOT NULL,
    past_us BIGINT NOT NULL,
    ahead_us BIGINT NOT NULL,
    keep_us BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Where the counting of each partition stands, and who may count.
CREATE TABLE IF NOT EXISTS partition_state (
    generation BIGINT NOT NULL,
    `partition` BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    nonce BINARY(16) NOT NULL,
    next BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    floor_clock_us BIGINT,
    clock_us BIGINT,
    last_print BIGINT,
    events BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    late BIGINT NOT NULL,
    future BIGINT NOT NULL,
    poison BIGINT NOT NULL,
    misrouted BIGINT NOT NULL,
    conflicts BIGINT NOT NULL,
    lost_frames BIGINT NOT NULL,
    letter_hour BIGINT NOT NULL,
    letter_rows BIGINT NOT NULL,
    commit_id BINARY(16),
    PRIMARY KEY (generation, `partition`),
    CHECK (floor <= next),
    CHECK (events = counted + duplicate + late + future + poison + misrouted)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Labels of full rows, by the hash of their content.
CREATE TABLE IF NOT EXISTS series (
    id BINARY(16) NOT NULL PRIMARY KEY,
    namespace VARCHAR(255) NOT NULL,
    upstream VARCHAR(255) NOT NULL,
    model VARCHAR(255) NOT NULL,
    method BIGINT NOT NULL,
    endpoint VARCHAR(255) NOT NULL,
    status BIGINT NOT NULL,
    outcome BIGINT NOT NULL,
    service_tier BIGINT NOT NULL,
    source BIGINT NOT NULL,
    is_final BIGINT NOT NULL,
    limited_by VARCHAR(255),
    KEY series_namespace (namespace)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Labels of minute rows.
CREATE TABLE IF NOT EXISTS series_short (
    id BINARY(16) NOT NULL PRIMARY KEY,
    namespace VARCHAR(255) NOT NULL,
    upstream VARCHAR(255) NOT NULL,
    outcome BIGINT NOT NULL,
    source BIGINT NOT NULL,
    is_final BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Counter totals, kept for ever. Their foreign key guards the other sums too: a commit adds to the
-- total of every series that it adds to elsewhere, and an index for a key of their own would cost
-- more than the rows.
CREATE TABLE IF NOT EXISTS total (
    series BINARY(16) NOT NULL PRIMARY KEY,
    n BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    duration_0 BIGINT NOT NULL,
    duration_1 BIGINT NOT NULL,
    duration_2 BIGINT NOT NULL,
    duration_3 BIGINT NOT NULL,
    duration_4 BIGINT NOT NULL,
    duration_5 BIGINT NOT NULL,
    duration_6 BIGINT NOT NULL,
    duration_7 BIGINT NOT NULL,
    duration_8 BIGINT NOT NULL,
    duration_9 BIGINT NOT NULL,
    duration_10 BIGINT NOT NULL,
    duration_11 BIGINT NOT NULL,
    duration_12 BIGINT NOT NULL,
    duration_13 BIGINT NOT NULL,
    duration_14 BIGINT NOT NULL,
    duration_15 BIGINT NOT NULL,
    duration_16 BIGINT NOT NULL,
    ttft_us BIGINT NOT NULL,
    ttft_0 BIGINT NOT NULL,
    ttft_1 BIGINT NOT NULL,
    ttft_2 BIGINT NOT NULL,
    ttft_3 BIGINT NOT NULL,
    ttft_4 BIGINT NOT NULL,
    ttft_5 BIGINT NOT NULL,
    ttft_6 BIGINT NOT NULL,
    ttft_7 BIGINT NOT NULL,
    ttft_8 BIGINT NOT NULL,
    ttft_9 BIGINT NOT NULL,
    ttft_10 BIGINT NOT NULL,
    ttft_11 BIGINT NOT NULL,
    ttft_12 BIGINT NOT NULL,
    ttft_13 BIGINT NOT NULL,
    ttft_14 BIGINT NOT NULL,
    ttft_15 BIGINT NOT NULL,
    ttft_16 BIGINT NOT NULL,
    ttft_17 BIGINT NOT NULL,
    input_uncached BIGINT NOT NULL,
    input_cache_read BIGINT NOT NULL,
    input_cache_write BIGINT NOT NULL,
    output_text BIGINT NOT NULL,
    output_reasoning BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    commit_id BINARY(16) NOT NULL,
    FOREIGN KEY (series) REFERENCES series (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Full rows per quarter-hour since the epoch.
CREATE TABLE IF NOT EXISTS quarter (
    at BIGINT NOT NULL,
    series BINARY(16) NOT NULL,
    n BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    duration_0 BIGINT NOT NULL,
    duration_1 BIGINT NOT NULL,
    duration_2 BIGINT NOT NULL,
    duration_3 BIGINT NOT NULL,
    duration_4 BIGINT NOT NULL,
    duration_5 BIGINT NOT NULL,
    duration_6 BIGINT NOT NULL,
    duration_7 BIGINT NOT NULL,
    duration_8 BIGINT NOT NULL,
    duration_9 BIGINT NOT NULL,
    duration_10 BIGINT NOT NULL,
    duration_11 BIGINT NOT NULL,
    duration_12 BIGINT NOT NULL,
    duration_13 BIGINT NOT NULL,
    duration_14 BIGINT NOT NULL,
    duration_15 BIGINT NOT NULL,
    duration_16 BIGINT NOT NULL,
    ttft_us BIGINT NOT NULL,
    ttft_0 BIGINT NOT NULL,
    ttft_1 BIGINT NOT NULL,
    ttft_2 BIGINT NOT NULL,
    ttft_3 BIGINT NOT NULL,
    ttft_4 BIGINT NOT NULL,
    ttft_5 BIGINT NOT NULL,
    ttft_6 BIGINT NOT NULL,
    ttft_7 BIGINT NOT NULL,
    ttft_8 BIGINT NOT NULL,
    ttft_9 BIGINT NOT NULL,
    ttft_10 BIGINT NOT NULL,
    ttft_11 BIGINT NOT NULL,
    ttft_12 BIGINT NOT NULL,
    ttft_13 BIGINT NOT NULL,
    ttft_14 BIGINT NOT NULL,
    ttft_15 BIGINT NOT NULL,
    ttft_16 BIGINT NOT NULL,
    ttft_17 BIGINT NOT NULL,
    input_uncached BIGINT NOT NULL,
    input_cache_read BIGINT NOT NULL,
    input_cache_write BIGINT NOT NULL,
    output_text BIGINT NOT NULL,
    output_reasoning BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    commit_id BINARY(16) NOT NULL,
    PRIMARY KEY (at, series)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Short rows per minute since the epoch.
CREATE TABLE IF NOT EXISTS minute (
    at BIGINT NOT NULL,
    series BINARY(16) NOT NULL,
    n BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    duration_0 BIGINT NOT NULL,
    duration_1 BIGINT NOT NULL,
    duration_2 BIGINT NOT NULL,
    duration_3 BIGINT NOT NULL,
    duration_4 BIGINT NOT NULL,
    duration_5 BIGINT NOT NULL,
    duration_6 BIGINT NOT NULL,
    duration_7 BIGINT NOT NULL,
    duration_8 BIGINT NOT NULL,
    duration_9 BIGINT NOT NULL,
    duration_10 BIGINT NOT NULL,
    duration_11 BIGINT NOT NULL,
    duration_12 BIGINT NOT NULL,
    duration_13 BIGINT NOT NULL,
    duration_14 BIGINT NOT NULL,
    duration_15 BIGINT NOT NULL,
    duration_16 BIGINT NOT NULL,
    ttft_us BIGINT NOT NULL,
    input_uncached BIGINT NOT NULL,
    input_cache_read BIGINT NOT NULL,
    input_cache_write BIGINT NOT NULL,
    output_text BIGINT NOT NULL,
    output_reasoning BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    commit_id BINARY(16) NOT NULL,
    PRIMARY KEY (at, series)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Events that were not counted, and copies that contradict the one before.
CREATE TABLE IF NOT EXISTS dead_letter (
    generation BIGINT NOT NULL,
    `partition` BIGINT NOT NULL,
    at BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    n BIGINT NOT NULL,
    class VARCHAR(255) NOT NULL,
    reason VARCHAR(255) NOT NULL,
    time_us BIGINT,
    namespace VARCHAR(255),
    content MEDIUMBLOB,
    clock_us BIGINT,
    stored_us BIGINT NOT NULL,
    commit_id BINARY(16) NOT NULL,
    PRIMARY KEY (generation, `partition`, at, idx),
    KEY dead_letter_stored (stored_us)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row: grows by one with each commit.
CREATE TABLE IF NOT EXISTS ledger_version (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    v BIGINT NOT NULL,
    committed_us BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
INSERT INTO ledger_version VALUES (1, 0, 0) ON DUPLICATE KEY UPDATE v = v;

CREATE TABLE IF NOT EXISTS commit_journal (
    version BIGINT NOT NULL PRIMARY KEY,
    commit_id BINARY(16) NOT NULL UNIQUE,
    generation BIGINT NOT NULL,
    `partition` BIGINT NOT NULL,
    base BIGINT NOT NULL,
    next BIGINT NOT NULL,
    events BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    digest BIGINT NOT NULL,
    first_clock_us BIGINT,
    last_clock_us BIGINT,
    committed_us BIGINT NOT NULL,
    KEY commit_journal_committed (committed_us)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Once a day, before its first commit: totals and partitions as they stood, for recounts after
-- the log has been shortened.
CREATE TABLE IF NOT EXISTS baseline (
    day BIGINT NOT NULL,
    version BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    `partition` BIGINT NOT NULL,
    next BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    floor_clock_us BIGINT,
    clock_us BIGINT,
    last_print BIGINT,
    events BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    late BIGINT NOT NULL,
    future BIGINT NOT NULL,
    poison BIGINT NOT NULL,
    misrouted BIGINT NOT NULL,
    conflicts BIGINT NOT NULL,
    lost_frames BIGINT NOT NULL,
    letter_hour BIGINT NOT NULL,
    letter_rows BIGINT NOT NULL,
    PRIMARY KEY (day, generation, `partition`)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
CREATE TABLE IF NOT EXISTS baseline_total (
    day BIGINT NOT NULL,
    series BINARY(16) NOT NULL,
    n BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    duration_0 BIGINT NOT NULL,
    duration_1 BIGINT NOT NULL,
    duration_2 BIGINT NOT NULL,
    duration_3 BIGINT NOT NULL,
    duration_4 BIGINT NOT NULL,
    duration_5 BIGINT NOT NULL,
    duration_6 BIGINT NOT NULL,
    duration_7 BIGINT NOT NULL,
    duration_8 BIGINT NOT NULL,
    duration_9 BIGINT NOT NULL,
    duration_10 BIGINT NOT NULL,
    duration_11 BIGINT NOT NULL,
    duration_12 BIGINT NOT NULL,
    duration_13 BIGINT NOT NULL,
    duration_14 BIGINT NOT NULL,
    duration_15 BIGINT NOT NULL,
    duration_16 BIGINT NOT NULL,
    ttft_us BIGINT NOT NULL,
    ttft_0 BIGINT NOT NULL,
    ttft_1 BIGINT NOT NULL,
    ttft_2 BIGINT NOT NULL,
    ttft_3 BIGINT NOT NULL,
    ttft_4 BIGINT NOT NULL,
    ttft_5 BIGINT NOT NULL,
    ttft_6 BIGINT NOT NULL,
    ttft_7 BIGINT NOT NULL,
    ttft_8 BIGINT NOT NULL,
    ttft_9 BIGINT NOT NULL,
    ttft_10 BIGINT NOT NULL,
    ttft_11 BIGINT NOT NULL,
    ttft_12 BIGINT NOT NULL,
    ttft_13 BIGINT NOT NULL,
    ttft_14 BIGINT NOT NULL,
    ttft_15 BIGINT NOT NULL,
    ttft_16 BIGINT NOT NULL,
    ttft_17 BIGINT NOT NULL,
    input_uncached BIGINT NOT NULL,
    input_cache_read BIGINT NOT NULL,
    input_cache_write BIGINT NOT NULL,
    output_text BIGINT NOT NULL,
    output_reasoning BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    PRIMARY KEY (day, series)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Names that became labels; never removed. A consumer may end in a space, which utf8mb4_bin does not
-- see when it compares: such names are bytes.
CREATE TABLE IF NOT EXISTS label (
    kind BIGINT NOT NULL,
    scope VARCHAR(255) NOT NULL,
    name VARBINARY(255) NOT NULL,
    PRIMARY KEY (kind, scope, name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
CREATE TABLE IF NOT EXISTS label_budget (
    kind BIGINT NOT NULL,
    scope VARCHAR(255) NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (kind, scope)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS namespace (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    code VARCHAR(255) NOT NULL UNIQUE,
    name VARCHAR(255) NOT NULL,
    status BIGINT NOT NULL CHECK (status IN (0, 1)),
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The newest report of each gateway.
CREATE TABLE IF NOT EXISTS connections (
    gateway VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    active BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (gateway, namespace)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row while it was ever needed: when an aggregator last had no memory left for copies.
CREATE TABLE IF NOT EXISTS pressure (
    one TINYINT NOT NULL PRIMARY KEY CHECK (one = 1),
    seen_us BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS access_key (
    role VARCHAR(255) NOT NULL,
    source VARCHAR(255) NOT NULL,
    sha256 BINARY(32) NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (role, sha256)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS meta (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    format BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
INSERT INTO meta VALUES (1, 1) ON DUPLICATE KEY UPDATE format = 1;
