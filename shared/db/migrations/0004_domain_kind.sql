-- What the addresses of a hosted domain are: accounts, rooms, and so on (shared.bus.kinds). What was hosted before has accounts.
ALTER TABLE domain ADD COLUMN kind text NOT NULL DEFAULT 'accounts';
