-- Clients that are notified while they are not connected (XEP-0357), each by the node of an app server. `due`: a notification has to go out,
-- or has no answer yet; whoever takes the partition over sends it again. `missed` counts the messages since the client was there.
CREATE TABLE push (
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    service     text COLLATE "C" NOT NULL,
    node        text COLLATE "C" NOT NULL,           -- '' for none
    partition   integer NOT NULL,
    resource    text COLLATE "C" NOT NULL,           -- of the client that wants it
    options     bytea NOT NULL,                      -- a form that is passed on; empty for none
    enabled     timestamptz NOT NULL DEFAULT now(),
    missed      integer NOT NULL DEFAULT 0,
    failures    integer NOT NULL DEFAULT 0,          -- in a row
    due         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account_id, service, node)
);
CREATE INDEX push_due ON push (partition) WHERE due;
