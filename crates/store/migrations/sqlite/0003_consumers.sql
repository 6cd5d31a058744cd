-- Format 3: who used the tokens. Rows per namespace, consumer and model, per quarter-hour; events
-- without a consumer have an empty one. A ledger that counted before has none of what it counted
-- until then, and consumer_start says so.
CREATE TABLE consumer_series (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    namespace TEXT NOT NULL,
    consumer TEXT NOT NULL,
    model TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX consumer_series_namespace ON consumer_series (namespace);

CREATE TABLE consumer_quarter (
    at INTEGER NOT NULL,
    series BLOB NOT NULL REFERENCES consumer_series (id),
    requests INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    input_cache_read INTEGER NOT NULL,
    input_cache_write INTEGER NOT NULL,
    output_text INTEGER NOT NULL,
    output_reasoning INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    commit_id BLOB NOT NULL,
    PRIMARY KEY (at, series)
) STRICT, WITHOUT ROWID;

-- When the last commit without consumer rows was made, microseconds; 0 if there is none.
CREATE TABLE consumer_start (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    committed_us INTEGER NOT NULL
) STRICT;
INSERT INTO consumer_start SELECT 1, committed_us FROM ledger_version;
UPDATE meta SET format = 3;
