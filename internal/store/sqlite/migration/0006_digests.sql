-- +goose Up

-- What proves that the entries of a day are still what they were. Each covers
-- the one before it: see ledger.Digest.
CREATE TABLE day_digests (
  day       INTEGER NOT NULL PRIMARY KEY,  -- UTC, since 1970-01-01
  first_seq INTEGER NOT NULL,
  last_seq  INTEGER NOT NULL CHECK (last_seq >= first_seq),
  closed_at INTEGER NOT NULL,              -- Unix nanoseconds
  sum       BLOB    CHECK (length(sum) = 32) -- null: not reckoned yet
) STRICT;
