-- Somebody here has written to this remote domain: it is no stranger, whose stanzas are limited (docs/federation.md).
ALTER TABLE s2s_peer ADD COLUMN spoken boolean NOT NULL DEFAULT false;
UPDATE s2s_peer SET spoken = true WHERE acked > 0;
