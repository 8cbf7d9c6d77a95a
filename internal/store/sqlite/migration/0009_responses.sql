-- +goose Up

-- Answers that callers may read again, and continue. They go with their time, or
-- when their owner has too many.
CREATE TABLE responses (
  id         TEXT    NOT NULL PRIMARY KEY,
  account_id INTEGER NOT NULL,
  test       INTEGER NOT NULL CHECK (test IN (0, 1)),
  previous   TEXT    NOT NULL, -- the response that it continues; empty: none
  created_at INTEGER NOT NULL, -- Unix milliseconds, as all times here
  expires_at INTEGER NOT NULL,
  job        BLOB    NOT NULL CHECK (length(job) = 16), -- that answers it; zeros: none
  ended      INTEGER NOT NULL CHECK (ended IN (0, 1)),
  input      BLOB    NOT NULL,
  object     BLOB    NOT NULL,
  bytes      INTEGER NOT NULL  -- of both
) STRICT;
CREATE INDEX responses_expiring ON responses (expires_at);
CREATE INDEX responses_of ON responses (account_id, test, created_at, bytes);

-- The names of the items of responses, by which callers may refer to them.
CREATE TABLE response_items (
  account_id  INTEGER NOT NULL,
  test        INTEGER NOT NULL,
  item        TEXT    NOT NULL,
  response_id TEXT    NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
  PRIMARY KEY (account_id, test, item)
) WITHOUT ROWID, STRICT;
CREATE INDEX response_items_of ON response_items (response_id);

-- What kind of work a job is: the surface that it came in at.
ALTER TABLE jobs ADD COLUMN surface TEXT NOT NULL DEFAULT 'jobs';
