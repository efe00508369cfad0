-- PubSub (XEP-0060). A node belongs to an account (PEP, XEP-0163) or to a service, which is a hosted domain; `owner` is its address. Nothing here is
-- read for an account or a service that nobody uses.
CREATE TABLE pubsub_node (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner       text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    account_id  bigint REFERENCES account (id) ON DELETE CASCADE,
    domain      text COLLATE "C" REFERENCES domain (name) ON DELETE CASCADE,
    creator     text COLLATE "C" NOT NULL,
    config      bytea NOT NULL,                      -- packed by workers/pubsub: what differs from the defaults
    n           bigint NOT NULL DEFAULT 0,           -- number of the last event; it grows
    created     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, name)
);
CREATE INDEX pubsub_node_account ON pubsub_node (account_id, name) WHERE account_id IS NOT NULL;
CREATE INDEX pubsub_node_domain ON pubsub_node (domain) WHERE domain IS NOT NULL;

CREATE TABLE pubsub_affiliation (
    node_id     bigint NOT NULL REFERENCES pubsub_node (id) ON DELETE CASCADE,
    jid         text COLLATE "C" NOT NULL,           -- bare
    affiliation text COLLATE "C" NOT NULL,           -- owner, publisher, publish-only, member, outcast
    PRIMARY KEY (node_id, jid)
);
CREATE INDEX pubsub_affiliation_jid ON pubsub_affiliation (jid);

CREATE TABLE pubsub_subscription (
    node_id     bigint NOT NULL REFERENCES pubsub_node (id) ON DELETE CASCADE,
    jid         text COLLATE "C" NOT NULL,           -- bare or full
    bare        text COLLATE "C" NOT NULL,
    subid       text COLLATE "C" NOT NULL,
    state       text COLLATE "C" NOT NULL,           -- subscribed, pending
    options     bytea NOT NULL,
    PRIMARY KEY (node_id, jid, subid)
);
CREATE INDEX pubsub_subscription_bare ON pubsub_subscription (bare);

-- `n` is the number of the event that published it: it gives the order, and notifications their uid.
CREATE TABLE pubsub_item (
    node_id     bigint NOT NULL REFERENCES pubsub_node (id) ON DELETE CASCADE,
    id          text COLLATE "C" NOT NULL,
    n           bigint NOT NULL,
    publisher   text COLLATE "C" NOT NULL,
    published   timestamptz NOT NULL DEFAULT now(),
    payload     bytea NOT NULL,
    PRIMARY KEY (node_id, id)
);
CREATE UNIQUE INDEX pubsub_item_n ON pubsub_item (node_id, n);

-- What was told lately. A new holder of the partition tells it again, under the same number, and gives the same answer to a request that
-- comes again. No foreign key: the deletion of a node is an event, too.
CREATE TABLE pubsub_event (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition   integer NOT NULL,
    node_id     bigint NOT NULL,                     -- no foreign key: the end of a node is told, too
    uid         bytea NOT NULL,                      -- of the request, empty when it has none
    at          timestamptz NOT NULL DEFAULT now(),
    reply       bytea NOT NULL,
    told        bytea NOT NULL                       -- packed by workers/pubsub, empty when nobody is told anything
);
CREATE INDEX pubsub_event_uid ON pubsub_event (uid) WHERE uid <> ''::bytea;
CREATE INDEX pubsub_event_told ON pubsub_event (partition, id) WHERE told <> ''::bytea;
CREATE INDEX pubsub_event_at ON pubsub_event (at);

-- Every domain of accounts has a service.
INSERT INTO domain (name, kind) SELECT 'pubsub.' || name, 'pubsub' FROM domain WHERE kind = 'accounts'
ON CONFLICT (name) DO NOTHING;
