-- +goose Up

-- How often a response began to be told event by event: each attempt numbers its
-- events anew, behind those of the ones before.
ALTER TABLE responses ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;

-- What responses in the background said, event by event, for who reads them later.
CREATE TABLE response_events (
  response_id TEXT    NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
  first       INTEGER NOT NULL, -- numbers of the events
  last        INTEGER NOT NULL,
  packed      BLOB    NOT NULL,
  PRIMARY KEY (response_id, last)
) STRICT;
