-- contract
-- waits for version 3
-- From here on rows go to the tables of 0006. Version 2 would neither find them there nor know repetitions, so this waits until no process of it lives.
LOCK TABLE message IN EXCLUSIVE MODE;
UPDATE installation SET archive_from = CASE WHEN EXISTS (SELECT FROM message) THEN clock_timestamp() ELSE '-infinity' END;
