-- +goose Up

-- Where the journal stands. One row.
CREATE TABLE ledger_mark (
  id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  epoch     INTEGER NOT NULL, -- how often it was opened for writing
  last_seq  INTEGER NOT NULL, -- newest entry
  low_water INTEGER NOT NULL  -- entries up to this one are folded everywhere
) STRICT;
INSERT INTO ledger_mark (id, epoch, last_seq, low_water) VALUES (1, 0, 0, 0);

-- The truth. Never updated, never deleted from. It has no second index on
-- purpose: one on (account_id, seq) halves the throughput.
-- kind: 1 usage 2 topup 3 grant 4 refund 5 adjust 6 expire 7 absorbed 9 reduce
CREATE TABLE entries (
  seq        INTEGER NOT NULL PRIMARY KEY,
  ts         INTEGER NOT NULL, -- Unix nanoseconds
  kind       INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 9),
  account_id INTEGER NOT NULL,
  key_id     INTEGER NOT NULL,
  test       INTEGER NOT NULL CHECK (test IN (0, 1)),
  day        INTEGER NOT NULL, -- UTC, since 1970-01-01
  amount     INTEGER NOT NULL CHECK (amount >= 0), -- nano-dollars
  req        BLOB,
  detail     BLOB NOT NULL     -- model, tokens, classes, reference, note: see ledger.Entry.Detail
) STRICT;

-- Folds of the entries. folded_seq: entries up to it are in the row.
CREATE TABLE balances (
  account_id  INTEGER NOT NULL PRIMARY KEY,
  credit      INTEGER NOT NULL,
  used        INTEGER NOT NULL,
  test_credit INTEGER NOT NULL,
  test_used   INTEGER NOT NULL,
  folded_seq  INTEGER NOT NULL
) STRICT;

-- What is left of expiring grants; folded with the balance of the account.
CREATE TABLE grants (
  seq        INTEGER NOT NULL PRIMARY KEY, -- its entry
  account_id INTEGER NOT NULL,
  test       INTEGER NOT NULL,
  remaining  INTEGER NOT NULL CHECK (remaining > 0),
  expires_at INTEGER NOT NULL -- Unix nanoseconds
) STRICT;
CREATE INDEX grants_account ON grants (account_id);

-- scope: 1 key (id is the key) 2 plan class (id is the account) 3 plan class, test
CREATE TABLE day_counters (
  day        INTEGER NOT NULL,
  scope      INTEGER NOT NULL,
  id         INTEGER NOT NULL,
  class      TEXT    NOT NULL,
  account_id INTEGER NOT NULL,
  reqs       INTEGER NOT NULL,
  nano       INTEGER NOT NULL,
  folded_seq INTEGER NOT NULL,
  PRIMARY KEY (day, scope, id, class)
) WITHOUT ROWID, STRICT;

CREATE TABLE usage_days (
  day            INTEGER NOT NULL,
  account_id     INTEGER NOT NULL,
  key_id         INTEGER NOT NULL,
  test           INTEGER NOT NULL,
  model          TEXT    NOT NULL,
  reqs           INTEGER NOT NULL,
  input          INTEGER NOT NULL,
  cached_input   INTEGER NOT NULL,
  cache_write    INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  output         INTEGER NOT NULL,
  reasoning      INTEGER NOT NULL,
  nano           INTEGER NOT NULL, -- charged
  refunded       INTEGER NOT NULL,
  absorbed       INTEGER NOT NULL,
  folded_seq     INTEGER NOT NULL,
  PRIMARY KEY (day, account_id, key_id, test, model)
) WITHOUT ROWID, STRICT;

-- One per request, charged or not; keyed by a time-ordered UUID.
-- delivery: 0 unknown 1 complete 2 partial 3 none
CREATE TABLE receipts (
  id         BLOB    NOT NULL PRIMARY KEY,
  seq        INTEGER NOT NULL, -- the usage entry; 0: nothing was charged
  account_id INTEGER NOT NULL,
  key_id     INTEGER NOT NULL,
  test       INTEGER NOT NULL,
  model      TEXT    NOT NULL,
  outcome    TEXT    NOT NULL,
  delivery   INTEGER NOT NULL,
  started    INTEGER NOT NULL, -- Unix nanoseconds
  hold       INTEGER NOT NULL,
  charge     INTEGER NOT NULL,
  absorbed   INTEGER NOT NULL,
  refunded   INTEGER NOT NULL,
  doc        BLOB    NOT NULL  -- the rest: see ledger.Receipt.Doc
) WITHOUT ROWID, STRICT;

-- References of credits, which make the same credit twice one entry.
CREATE TABLE credit_refs (
  account_id INTEGER NOT NULL,
  reference  TEXT    NOT NULL,
  seq        INTEGER NOT NULL,
  PRIMARY KEY (account_id, reference)
) WITHOUT ROWID, STRICT;
