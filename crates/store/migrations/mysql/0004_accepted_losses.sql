-- Format 4: what was lost of a halted partition and accepted by an operator. No frame before the
-- offset `next` can be told to be the one that was counted: a recount begins there or later. Rows
-- are kept for ever.
CREATE TABLE IF NOT EXISTS accepted_loss (
    version BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL,
    `partition` BIGINT NOT NULL,
    next BIGINT NOT NULL,
    frames BIGINT NOT NULL,
    reason VARCHAR(1024) NOT NULL,
    accepted_us BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
UPDATE meta SET format = 4;
