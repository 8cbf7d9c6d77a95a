-- +goose Up

-- Work that callers left with the gateway. What became of each request stands
-- with its hold, in holds, by the same id.
CREATE TABLE jobs (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- time-ordered
  account_id   INTEGER NOT NULL,
  key_id       INTEGER NOT NULL,
  test         INTEGER NOT NULL CHECK (test IN (0, 1)),
  site         TEXT    NOT NULL,
  model        TEXT    NOT NULL,
  created_at   INTEGER NOT NULL, -- Unix milliseconds, as all times here
  cancelled_at INTEGER,          -- null: not
  ended_at     INTEGER           -- null: something of it still waits or runs
) WITHOUT ROWID, STRICT;
CREATE INDEX jobs_open ON jobs (id) WHERE ended_at IS NULL;
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE job_items (
  job_id  BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  n       INTEGER NOT NULL, -- place in the job, from 0
  name    TEXT    NOT NULL,
  request BLOB    NOT NULL CHECK (length(request) = 16),
  body    BLOB    NOT NULL,
  pinned  BLOB    NOT NULL,
  PRIMARY KEY (job_id, n)
) WITHOUT ROWID, STRICT;
