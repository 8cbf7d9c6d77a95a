-- +goose Up

-- The answers that idempotency keys stand for, each written with its charge.
CREATE TABLE idem (
  account_id  INTEGER NOT NULL,
  test        INTEGER NOT NULL CHECK (test IN (0, 1)),
  k           BLOB    NOT NULL CHECK (length(k) BETWEEN 1 AND 255),
  fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32), -- of the request
  seq         INTEGER NOT NULL, -- the usage entry; 0: there is none
  req         BLOB    NOT NULL,
  status      INTEGER NOT NULL,
  kept        INTEGER NOT NULL CHECK (kept IN (0, 1)), -- 0: only the fact is
  claimed     INTEGER NOT NULL, -- Unix nanoseconds, as all times here
  at          INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  doc         BLOB    NOT NULL, -- header and body: see ledger.Stored
  PRIMARY KEY (account_id, test, k)
) STRICT;
CREATE INDEX idem_expires ON idem (expires_at);
