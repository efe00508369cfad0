-- What waits for other servers. A row of s2s_queue goes when the other side has it (its number is not above that of its pair in s2s_peer,
-- and a while has passed in which it may be sent to us again), or when it was given up. Numbers are epoch << 40 | counter, as archive ids.
CREATE TABLE s2s_queue (
    partition integer NOT NULL,
    remote text NOT NULL,
    local text NOT NULL,
    seq bigint NOT NULL,
    stream bytea NOT NULL,
    n bigint NOT NULL,
    stamp timestamptz NOT NULL DEFAULT now(),
    expires timestamptz NOT NULL,
    stanza bytea NOT NULL,
    PRIMARY KEY (remote, local, seq)
);
CREATE UNIQUE INDEX s2s_queue_uid ON s2s_queue (stream, n, remote, local);
CREATE INDEX s2s_queue_partition ON s2s_queue (partition, expires);

-- What is known of a pair of domains; `acked`: the other side has everything up to this number. `worked` and `failed` are when a stream
-- was last opened, and when it last could not be.
CREATE TABLE s2s_peer (
    partition integer NOT NULL,
    remote text NOT NULL,
    local text NOT NULL,
    acked bigint NOT NULL DEFAULT 0,
    worked timestamptz,
    failed timestamptz,
    trouble text NOT NULL DEFAULT '',
    PRIMARY KEY (remote, local)
);
CREATE INDEX s2s_peer_partition ON s2s_peer (partition);
