-- +goose Up

-- Events that are to be told to the operator's webhook. A row is written in the
-- transaction of the charge that caused it; how its delivery goes changes it.
CREATE TABLE outbox (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- sorts by the time of the request
  kind       INTEGER NOT NULL,
  account_id INTEGER NOT NULL,
  request    BLOB    NOT NULL CHECK (length(request) = 16),
  created    INTEGER NOT NULL, -- Unix nanoseconds, as all times here
  detail     BLOB    NOT NULL, -- the rest: see ledger.Event.Detail
  state      INTEGER NOT NULL CHECK (state IN (1, 2, 3)), -- pending, delivered, failed
  tries      INTEGER NOT NULL,
  next_at    INTEGER NOT NULL, -- of a pending one: not before
  until      INTEGER NOT NULL, -- of a pending one: when to give it up; 0: as long as usual
  ended      INTEGER NOT NULL, -- when it was delivered, or given up; 0: it is pending
  error      TEXT    NOT NULL  -- of the last try; empty: none
) WITHOUT ROWID, STRICT;
CREATE INDEX outbox_due ON outbox (next_at, id) WHERE state = 1;
CREATE INDEX outbox_ended ON outbox (ended, id) WHERE state <> 1;

-- Live balances that were warned of, and below what: there is no other warning
-- until the balance has risen to 120 % of that. It changes with the journal.
CREATE TABLE balance_warnings (
  account_id INTEGER NOT NULL PRIMARY KEY,
  below      INTEGER NOT NULL CHECK (below > 0)
) STRICT;

-- The threshold of an account's own.
ALTER TABLE accounts ADD COLUMN warn_below INTEGER; -- null: the site's; 0: never
