-- Where a process runs: processes that hold partitions are spread over zones and hosts. NULL: it was started by a version that
-- does not say; nobody is spread while such a process lives, so that all compute the same.
ALTER TABLE member ADD COLUMN zone text COLLATE "C";
ALTER TABLE member ADD COLUMN host text COLLATE "C";
