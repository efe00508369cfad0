-- archive days: to be filled; a migration that was applied never changes.
SELECT 1;
