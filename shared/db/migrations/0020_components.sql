-- Components (XEP-0114): the secret of each, encrypted with the cluster's own (`shared/db/secrets.py`, purpose "component"); NULL when it stands
-- in a file. Their domains are rows of `domain`, what waits for them stands in s2s_queue beside what waits for other servers.
CREATE TABLE component (
    domain   text COLLATE "C" PRIMARY KEY REFERENCES domain (name) ON DELETE CASCADE ON UPDATE CASCADE,
    secret   bytea,
    created  timestamptz NOT NULL DEFAULT now()
);
