-- +goose Up

-- Who pays. Their money is in balances, by the same id.
CREATE TABLE accounts (
  id         INTEGER NOT NULL PRIMARY KEY CHECK (id > 0),
  place      INTEGER NOT NULL UNIQUE, -- order of creation
  name       TEXT    NOT NULL,
  plan       TEXT    NOT NULL,        -- empty: none
  status     TEXT    NOT NULL,        -- active, suspended
  created_at INTEGER NOT NULL         -- Unix milliseconds, as all times here
) STRICT;

-- Their credentials. A key itself is nowhere: hash is its HMAC under a pepper
-- that the database does not hold.
CREATE TABLE api_keys (
  id            INTEGER NOT NULL PRIMARY KEY CHECK (id > 0),
  place         INTEGER NOT NULL UNIQUE, -- order of creation
  account_id    INTEGER NOT NULL REFERENCES accounts (id),
  hash          BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  name          TEXT    NOT NULL,
  kind          TEXT    NOT NULL, -- inference, billing
  site          TEXT    NOT NULL, -- empty: every site
  test          INTEGER NOT NULL CHECK (test IN (0, 1)),
  prefix        TEXT    NOT NULL,
  active        INTEGER NOT NULL CHECK (active IN (0, 1)),
  revoked_at    INTEGER,          -- null: not revoked
  expires_at    INTEGER,          -- null: never
  created_at    INTEGER NOT NULL,
  limits        TEXT    NOT NULL, -- JSON: see account.Limits
  models        TEXT    NOT NULL, -- JSON array of globs; empty: every model
  on_disconnect TEXT    NOT NULL  -- cancel, drain
) STRICT;

-- What the pepper must be. At most one row.
CREATE TABLE key_pepper (
  id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32)
) STRICT;
