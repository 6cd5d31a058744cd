-- Format 5: every text compares by its bytes. Texts of SQLite always did, for no column names a
-- collation; a database on a server changes its columns for it.
UPDATE meta SET format = 5;
