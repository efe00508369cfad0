-- Which message of the day an account was told last (XEP-0133 section 4.24): the digest of its text.
ALTER TABLE account ADD COLUMN motd text;
