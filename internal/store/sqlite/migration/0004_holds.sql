-- +goose Up

-- Money set aside for jobs that outlive a connection. A hold that has ended is
-- never changed again.
-- state: 1 open 2 posted 3 voided
CREATE TABLE holds (
  place      INTEGER NOT NULL PRIMARY KEY, -- order of their making
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16), -- of the request
  grp        BLOB    NOT NULL CHECK (length(grp) = 16),       -- the job
  account_id INTEGER NOT NULL,
  key_id     INTEGER NOT NULL,
  test       INTEGER NOT NULL CHECK (test IN (0, 1)),
  day        INTEGER NOT NULL,                                -- of its admission
  amount     INTEGER NOT NULL CHECK (amount >= 0),
  state      INTEGER NOT NULL CHECK (state IN (1, 2, 3)),
  charge     INTEGER NOT NULL,
  result     BLOB,
  created    INTEGER NOT NULL, -- Unix nanoseconds
  ended      INTEGER NOT NULL, -- 0: it is open
  detail     BLOB    NOT NULL  -- the key's limit, plan classes: see ledger.HoldRow.Detail
) STRICT;
CREATE INDEX holds_grp ON holds (grp);
CREATE INDEX holds_open ON holds (place) WHERE state = 1;
