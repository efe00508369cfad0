-- An archive belongs to an owner: an account, a room, a node of PubSub. All owners have numbers of one sequence, that of accounts: an account is
-- an owner by its own number, so nothing that is stored has to be rewritten. What is no account has its row here.
CREATE TABLE archive_owner (
    id          bigint PRIMARY KEY DEFAULT nextval('account_id_seq'),
    kind        text COLLATE "C" NOT NULL,           -- room, node
    domain      text COLLATE "C" NOT NULL REFERENCES domain (name),
    name        text COLLATE "C" NOT NULL,           -- unique within its kind and domain
    created     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (domain, kind, name)
);
