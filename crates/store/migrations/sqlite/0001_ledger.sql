-- The ledger, format 1. STRICT tables refuse the REAL that an integer overflow would turn into.

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 1);

-- A generation of the log: never changed once it is made.
CREATE TABLE generation (
    generation INTEGER PRIMARY KEY,
    partitions INTEGER NOT NULL,
    secret BLOB NOT NULL CHECK (length(secret) = 32),
    past_us INTEGER NOT NULL,
    ahead_us INTEGER NOT NULL,
    keep_us INTEGER NOT NULL
) STRICT;

-- Where the counting of each partition stands, and who may count.
CREATE TABLE partition_state (
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    next INTEGER NOT NULL,
    floor INTEGER NOT NULL CHECK (floor <= next),
    floor_clock_us INTEGER,
    clock_us INTEGER,
    last_print INTEGER,
    events INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    late INTEGER NOT NULL,
    future INTEGER NOT NULL,
    poison INTEGER NOT NULL,
    misrouted INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    lost_frames INTEGER NOT NULL,
    letter_hour INTEGER NOT NULL,
    letter_rows INTEGER NOT NULL,
    commit_id BLOB,
    PRIMARY KEY (generation, partition),
    CHECK (events = counted + duplicate + late + future + poison + misrouted)
) STRICT, WITHOUT ROWID;

-- Labels of full rows, by the hash of their content.
CREATE TABLE series (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    namespace TEXT NOT NULL,
    upstream TEXT NOT NULL,
    model TEXT NOT NULL,
    method INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    status INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    service_tier INTEGER NOT NULL,
    source INTEGER NOT NULL,
    is_final INTEGER NOT NULL,
    limited_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX series_namespace ON series (namespace);

-- Labels of minute rows.
CREATE TABLE series_short (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    namespace TEXT NOT NULL,
    upstream TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    source INTEGER NOT NULL,
    is_final INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Counter totals, kept for ever.
CREATE TABLE total (
    series BLOB PRIMARY KEY REFERENCES series (id),
    n INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    duration_0 INTEGER NOT NULL,
    duration_1 INTEGER NOT NULL,
    duration_2 INTEGER NOT NULL,
    duration_3 INTEGER NOT NULL,
    duration_4 INTEGER NOT NULL,
    duration_5 INTEGER NOT NULL,
    duration_6 INTEGER NOT NULL,
    duration_7 INTEGER NOT NULL,
    duration_8 INTEGER NOT NULL,
    duration_9 INTEGER NOT NULL,
    duration_10 INTEGER NOT NULL,
    duration_11 INTEGER NOT NULL,
    duration_12 INTEGER NOT NULL,
    duration_13 INTEGER NOT NULL,
    duration_14 INTEGER NOT NULL,
    duration_15 INTEGER NOT NULL,
    duration_16 INTEGER NOT NULL,
    ttft_us INTEGER NOT NULL,
    ttft_0 INTEGER NOT NULL,
    ttft_1 INTEGER NOT NULL,
    ttft_2 INTEGER NOT NULL,
    ttft_3 INTEGER NOT NULL,
    ttft_4 INTEGER NOT NULL,
    ttft_5 INTEGER NOT NULL,
    ttft_6 INTEGER NOT NULL,
    ttft_7 INTEGER NOT NULL,
    ttft_8 INTEGER NOT NULL,
    ttft_9 INTEGER NOT NULL,
    ttft_10 INTEGER NOT NULL,
    ttft_11 INTEGER NOT NULL,
    ttft_12 INTEGER NOT NULL,
    ttft_13 INTEGER NOT NULL,
    ttft_14 INTEGER NOT NULL,
    ttft_15 INTEGER NOT NULL,
    ttft_16 INTEGER NOT NULL,
    ttft_17 INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    input_cache_read INTEGER NOT NULL,
    input_cache_write INTEGER NOT NULL,
    output_text INTEGER NOT NULL,
    output_reasoning INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    commit_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Full rows per quarter-hour since the epoch.
CREATE TABLE quarter (
    at INTEGER NOT NULL,
    series BLOB NOT NULL REFERENCES series (id),
    n INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    duration_0 INTEGER NOT NULL,
    duration_1 INTEGER NOT NULL,
    duration_2 INTEGER NOT NULL,
    duration_3 INTEGER NOT NULL,
    duration_4 INTEGER NOT NULL,
    duration_5 INTEGER NOT NULL,
    duration_6 INTEGER NOT NULL,
    duration_7 INTEGER NOT NULL,
    duration_8 INTEGER NOT NULL,
    duration_9 INTEGER NOT NULL,
    duration_10 INTEGER NOT NULL,
    duration_11 INTEGER NOT NULL,
    duration_12 INTEGER NOT NULL,
    duration_13 INTEGER NOT NULL,
    duration_14 INTEGER NOT NULL,
    duration_15 INTEGER NOT NULL,
    duration_16 INTEGER NOT NULL,
    ttft_us INTEGER NOT NULL,
    ttft_0 INTEGER NOT NULL,
    ttft_1 INTEGER NOT NULL,
    ttft_2 INTEGER NOT NULL,
    ttft_3 INTEGER NOT NULL,
    ttft_4 INTEGER NOT NULL,
    ttft_5 INTEGER NOT NULL,
    ttft_6 INTEGER NOT NULL,
    ttft_7 INTEGER NOT NULL,
    ttft_8 INTEGER NOT NULL,
    ttft_9 INTEGER NOT NULL,
    ttft_10 INTEGER NOT NULL,
    ttft_11 INTEGER NOT NULL,
    ttft_12 INTEGER NOT NULL,
    ttft_13 INTEGER NOT NULL,
    ttft_14 INTEGER NOT NULL,
    ttft_15 INTEGER NOT NULL,
    ttft_16 INTEGER NOT NULL,
    ttft_17 INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    input_cache_read INTEGER NOT NULL,
    input_cache_write INTEGER NOT NULL,
    output_text INTEGER NOT NULL,
    output_reasoning INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    commit_id BLOB NOT NULL,
    PRIMARY KEY (at, series)
) STRICT, WITHOUT ROWID;

-- Short rows per minute since the epoch.
CREATE TABLE minute (
    at INTEGER NOT NULL,
    series BLOB NOT NULL REFERENCES series_short (id),
    n INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    duration_0 INTEGER NOT NULL,
    duration_1 INTEGER NOT NULL,
    duration_2 INTEGER NOT NULL,
    duration_3 INTEGER NOT NULL,
    duration_4 INTEGER NOT NULL,
    duration_5 INTEGER NOT NULL,
    duration_6 INTEGER NOT NULL,
    duration_7 INTEGER NOT NULL,
    duration_8 INTEGER NOT NULL,
    duration_9 INTEGER NOT NULL,
    duration_10 INTEGER NOT NULL,
    duration_11 INTEGER NOT NULL,
    duration_12 INTEGER NOT NULL,
    duration_13 INTEGER NOT NULL,
    duration_14 INTEGER NOT NULL,
    duration_15 INTEGER NOT NULL,
    duration_16 INTEGER NOT NULL,
    ttft_us INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    input_cache_read INTEGER NOT NULL,
    input_cache_write INTEGER NOT NULL,
    output_text INTEGER NOT NULL,
    output_reasoning INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    commit_id BLOB NOT NULL,
    PRIMARY KEY (at, series)
) STRICT, WITHOUT ROWID;

-- Events that were not counted, and copies that contradict the one before.
CREATE TABLE dead_letter (
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    at INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    n INTEGER NOT NULL,
    class TEXT NOT NULL,
    reason TEXT NOT NULL,
    time_us INTEGER,
    namespace TEXT,
    content BLOB,
    clock_us INTEGER,
    stored_us INTEGER NOT NULL,
    commit_id BLOB NOT NULL,
    PRIMARY KEY (generation, partition, at, idx)
) STRICT;
CREATE INDEX dead_letter_stored ON dead_letter (stored_us);

-- One row: grows by one with each commit.
CREATE TABLE ledger_version (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    v INTEGER NOT NULL,
    committed_us INTEGER NOT NULL
) STRICT;
INSERT INTO ledger_version VALUES (1, 0, 0);

CREATE TABLE commit_journal (
    version INTEGER PRIMARY KEY,
    commit_id BLOB NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    base INTEGER NOT NULL,
    next INTEGER NOT NULL,
    events INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    first_clock_us INTEGER,
    last_clock_us INTEGER,
    committed_us INTEGER NOT NULL
) STRICT;

-- Once a day, before its first commit: totals and partitions as they stood, for recounts after
-- the log has been shortened.
CREATE TABLE baseline (
    day INTEGER NOT NULL,
    version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    floor_clock_us INTEGER,
    clock_us INTEGER,
    last_print INTEGER,
    events INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    late INTEGER NOT NULL,
    future INTEGER NOT NULL,
    poison INTEGER NOT NULL,
    misrouted INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    lost_frames INTEGER NOT NULL,
    letter_hour INTEGER NOT NULL,
    letter_rows INTEGER NOT NULL,
    PRIMARY KEY (day, generation, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE baseline_total (
    day INTEGER NOT NULL,
    series BLOB NOT NULL,
    n INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    duration_0 INTEGER NOT NULL,
    duration_1 INTEGER NOT NULL,
    duration_2 INTEGER NOT NULL,
    duration_3 INTEGER NOT NULL,
    duration_4 INTEGER NOT NULL,
    duration_5 INTEGER NOT NULL,
    duration_6 INTEGER NOT NULL,
    duration_7 INTEGER NOT NULL,
    duration_8 INTEGER NOT NULL,
    duration_9 INTEGER NOT NULL,
    duration_10 INTEGER NOT NULL,
    duration_11 INTEGER NOT NULL,
    duration_12 INTEGER NOT NULL,
    duration_13 INTEGER NOT NULL,
    duration_14 INTEGER NOT NULL,
    duration_15 INTEGER NOT NULL,
    duration_16 INTEGER NOT NULL,
    ttft_us INTEGER NOT NULL,
    ttft_0 INTEGER NOT NULL,
    ttft_1 INTEGER NOT NULL,
    ttft_2 INTEGER NOT NULL,
    ttft_3 INTEGER NOT NULL,
    ttft_4 INTEGER NOT NULL,
    ttft_5 INTEGER NOT NULL,
    ttft_6 INTEGER NOT NULL,
    ttft_7 INTEGER NOT NULL,
    ttft_8 INTEGER NOT NULL,
    ttft_9 INTEGER NOT NULL,
    ttft_10 INTEGER NOT NULL,
    ttft_11 INTEGER NOT NULL,
    ttft_12 INTEGER NOT NULL,
    ttft_13 INTEGER NOT NULL,
    ttft_14 INTEGER NOT NULL,
    ttft_15 INTEGER NOT NULL,
    ttft_16 INTEGER NOT NULL,
    ttft_17 INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    input_cache_read INTEGER NOT NULL,
    input_cache_write INTEGER NOT NULL,
    output_text INTEGER NOT NULL,
    output_reasoning INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    PRIMARY KEY (day, series)
) STRICT, WITHOUT ROWID;

-- Names that became labels; never removed.
CREATE TABLE label (
    kind INTEGER NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (kind, scope, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE label_budget (
    kind INTEGER NOT NULL,
    scope TEXT NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (kind, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE namespace (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status INTEGER NOT NULL CHECK (status IN (0, 1)),
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT;

-- The newest report of each gateway.
CREATE TABLE connections (
    gateway TEXT NOT NULL,
    namespace TEXT NOT NULL,
    active INTEGER NOT NULL,
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (gateway, namespace)
) STRICT, WITHOUT ROWID;

-- One row while it was ever needed: when an aggregator last had no memory left for copies.
CREATE TABLE pressure (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seen_us INTEGER NOT NULL
) STRICT;

CREATE TABLE access_key (
    role TEXT NOT NULL,
    source TEXT NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    created_us INTEGER NOT NULL,
    PRIMARY KEY (role, sha256)
) STRICT, WITHOUT ROWID;
