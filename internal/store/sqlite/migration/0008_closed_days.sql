-- +goose Up

-- Up to where days are closed and digests reckoned, beside the digests, so that
-- one that is deleted, or loses its sum, is found.
ALTER TABLE ledger_mark ADD COLUMN closed_to INTEGER NOT NULL DEFAULT 0;   -- last entry of the newest day that is closed
ALTER TABLE ledger_mark ADD COLUMN digested_to INTEGER NOT NULL DEFAULT 0; -- last entry of the newest digest with its sum
UPDATE ledger_mark SET
  closed_to = coalesce((SELECT max(last_seq) FROM day_digests), 0),
  digested_to = coalesce((SELECT max(last_seq) FROM day_digests WHERE sum IS NOT NULL), 0);
