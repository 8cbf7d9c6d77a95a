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

-- Finds the few entries that are no usage among the many that are. It costs a
-- charge nothing: a partial index has no row for it.
CREATE INDEX entries_rare ON entries (account_id, seq, kind) WHERE kind <> 1;
CREATE INDEX credit_refs_seq ON credit_refs (seq);
CREATE INDEX credit_refs_reference ON credit_refs (reference, seq);

-- Where the entries and receipts of an account are: filled in runs, afterwards,
-- so that no charge pays for it. A run of entries is so many in a row; one row
-- says where in it those are that moved a balance. A run of receipts is those
-- between two ids; one row has the ids of an account's.
CREATE TABLE run_mark (
  id            INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  entry_runs    INTEGER NOT NULL, -- runs of entries that are complete
  length        INTEGER NOT NULL, -- entries in each
  receipts_upto BLOB    NOT NULL, -- receipts up to this id are in runs, or late
  late_upto     BLOB    NOT NULL  -- receipts that come now with an id up to this one are late
) STRICT;
INSERT INTO run_mark VALUES (1, 0, 32768, x'', x'');

CREATE TABLE entry_runs (
  run        INTEGER NOT NULL, -- entries run * length + 1 to (run + 1) * length
  account_id INTEGER NOT NULL,
  test       INTEGER NOT NULL,
  places     BLOB    NOT NULL, -- see appendPlace
  PRIMARY KEY (run, account_id, test)
) WITHOUT ROWID, STRICT;

CREATE TABLE receipt_bounds (
  run   INTEGER NOT NULL PRIMARY KEY,
  after BLOB    NOT NULL -- ids of the run are above it, and not above that of the next run
) STRICT;
CREATE TABLE receipt_runs (
  run        INTEGER NOT NULL,
  account_id INTEGER NOT NULL,
  ids        BLOB    NOT NULL, -- 16 bytes each, ascending
  PRIMARY KEY (run, account_id)
) WITHOUT ROWID, STRICT;

-- Receipts that came when the run that they belong to had been looked at.
CREATE TABLE receipts_late (
  account_id INTEGER NOT NULL,
  id         BLOB    NOT NULL,
  PRIMARY KEY (account_id, id)
) WITHOUT ROWID, STRICT;
CREATE INDEX receipts_late_id ON receipts_late (id);

-- Up to where entries of usage and absorbed cost (kinds 1 and 7) were deleted,
-- with their receipts. One row.
CREATE TABLE ledger_floor (
  id  INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  seq INTEGER NOT NULL, -- 0: none were
  day INTEGER NOT NULL, -- newest day that one of them counted in
  req BLOB    NOT NULL CHECK (length(req) = 16) -- newest request of them
) STRICT;
INSERT INTO ledger_floor VALUES (1, 0, -2147483648, zeroblob(16));

-- What replaces them: their sums, by the lines of usage_days.
CREATE TABLE statements (
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
  absorbed       INTEGER NOT NULL,
  PRIMARY KEY (day, account_id, key_id, test, model)
) WITHOUT ROWID, STRICT;

-- Balances and what was left of grants when the floor's entry had been entered.
CREATE TABLE openings (
  account_id  INTEGER NOT NULL PRIMARY KEY,
  credit      INTEGER NOT NULL,
  used        INTEGER NOT NULL,
  test_credit INTEGER NOT NULL,
  test_used   INTEGER NOT NULL
) STRICT;
CREATE TABLE opening_grants (
  seq        INTEGER NOT NULL PRIMARY KEY, -- its entry
  account_id INTEGER NOT NULL,
  test       INTEGER NOT NULL,
  remaining  INTEGER NOT NULL CHECK (remaining > 0),
  expires_at INTEGER NOT NULL -- Unix nanoseconds
) STRICT;
CREATE INDEX opening_grants_account ON opening_grants (account_id);
