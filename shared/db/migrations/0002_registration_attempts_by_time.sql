-- no-transaction
-- Every registration first removes the attempts of the day before (XEP-0077 throttle): by this index, not by reading the table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS registration_attempt_at ON registration_attempt (at);
