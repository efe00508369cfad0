-- Tokens of operators and their programs (`rookery token`). The digest is SHA-256 of a random secret of 256 bits, which is never stored.
CREATE TABLE admin_token (
    name        text COLLATE "C" PRIMARY KEY,
    digest      bytea NOT NULL UNIQUE,
    scopes      text[] NOT NULL,
    made_by     text NOT NULL DEFAULT '',
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz,
    last_used   timestamptz
);
