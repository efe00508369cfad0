-- contract
-- waits for migration 21
-- From here on rows go to the tables of 0021. A version that does not know them would neither find what is there nor know repetitions. So this waits until no process of it
-- lives; one that was cut off for long is deposed here, and one that is starting just now fails.
ALTER TABLE member ADD CONSTRAINT member_schema CHECK (schema >= 21) NOT VALID;
UPDATE fence SET open = false WHERE incarnation IN (SELECT incarnation FROM member WHERE schema < 21);
LOCK TABLE message IN EXCLUSIVE MODE;
UPDATE installation SET archive_from = CASE WHEN EXISTS (SELECT FROM message) THEN clock_timestamp() ELSE '-infinity' END;
