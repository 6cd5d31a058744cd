-- Format 4: what was lost of a halted partition and accepted by an operator. No frame before the
-- offset `next` can be told to be the one that was counted: a recount begins there or later. Rows
-- are kept for ever.
CREATE TABLE accepted_loss (
    version INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    reason TEXT NOT NULL,
    accepted_us INTEGER NOT NULL
) STRICT;
UPDATE meta SET format = 4;
