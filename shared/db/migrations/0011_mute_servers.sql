-- A server without XEP-0198 that answers no pings cannot say what it has: nothing is sent to it twice (docs/federation.md).
ALTER TABLE s2s_peer ADD COLUMN mute boolean NOT NULL DEFAULT false;
