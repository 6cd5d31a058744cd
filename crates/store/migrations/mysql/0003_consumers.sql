-- Format 3: who used the tokens. Rows per namespace, consumer and model, per quarter-hour; events
-- without a consumer have an empty one. A ledger that counted before has none of what it counted
-- until then, and consumer_start says so.
CREATE TABLE IF NOT EXISTS consumer_series (
    id BINARY(16) NOT NULL PRIMARY KEY,
    namespace VARCHAR(255) NOT NULL,
    consumer VARCHAR(255) NOT NULL,
    model VARCHAR(255) NOT NULL,
    KEY consumer_series_namespace (namespace)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS consumer_quarter (
    at BIGINT NOT NULL,
    series BINARY(16) NOT NULL,
    requests BIGINT NOT NULL,
    input_uncached BIGINT NOT NULL,
    input_cache_read BIGINT NOT NULL,
    input_cache_write BIGINT NOT NULL,
    output_text BIGINT NOT NULL,
    output_reasoning BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    commit_id BINARY(16) NOT NULL,
    PRIMARY KEY (at, series)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- When the last commit without consumer rows was made, microseconds; 0 if there is none.
CREATE TABLE IF NOT EXISTS consumer_start (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    committed_us BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
INSERT IGNORE INTO consumer_start SELECT 1, committed_us FROM ledger_version;
UPDATE meta SET format = 3;
