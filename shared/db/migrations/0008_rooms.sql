-- Rooms (XEP-0045). A room is an archive owner (kind "room"); its row says what it is, packed by workers/muc, and what lists of rooms show. Nothing
-- here is read for a room that nobody uses.
CREATE TABLE room (
    id          bigint PRIMARY KEY REFERENCES archive_owner (id) ON DELETE CASCADE,
    partition   integer NOT NULL,
    jid         text COLLATE "C" NOT NULL UNIQUE,
    state       bytea NOT NULL,
    public      boolean NOT NULL DEFAULT false,      -- listed by service discovery
    persistent  boolean NOT NULL DEFAULT false,      -- stays when nobody is in it
    name        text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    lang        text NOT NULL DEFAULT '',
    occupants   integer NOT NULL DEFAULT 0,
    created     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX room_partition ON room (partition);

-- Lasting affiliations, and nicks that are registered with a room (section 7.10); packed by workers/muc.
CREATE TABLE room_affiliation (
    room_id     bigint NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    jid         text COLLATE "C" NOT NULL,
    affiliation text COLLATE "C" NOT NULL,           -- owner, admin, member, none (a registered nick alone), outcast
    state       bytea NOT NULL,
    PRIMARY KEY (room_id, jid)
);
CREATE INDEX room_affiliation_jid ON room_affiliation (jid);

-- Who is in a room now, by full JID. A holder that takes a partition over goes on with these.
CREATE TABLE room_occupant (
    room_id     bigint NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    jid         text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    nick        text COLLATE "C" NOT NULL,
    since       bigint NOT NULL,                     -- the number under which it was told that it is in
    state       bytea NOT NULL,
    PRIMARY KEY (room_id, jid)
);
CREATE INDEX room_occupant_partition ON room_occupant (partition);

-- What a room has said to its occupants, has no row of its own in the archive, and is perhaps not with all of them yet: the next holder says
-- it again under the same number. Messages of the archive need no row here. (stream, origin_n) is the uid of the stanza that it came of.
CREATE TABLE room_saying (
    room_id     bigint NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    n           bigint NOT NULL,
    partition   integer NOT NULL,
    stream      bytea NOT NULL,
    origin_n    bigint NOT NULL,
    said        bytea NOT NULL,
    PRIMARY KEY (room_id, n)
);
CREATE INDEX room_saying_partition ON room_saying (partition, n);

-- All that rooms of a partition have said up to this number has been heard by all routers.
CREATE TABLE room_heard (
    partition   integer PRIMARY KEY,
    n           bigint NOT NULL
);

-- Every domain of accounts has a service of rooms; `rookery domain del` takes it away.
INSERT INTO domain (name, kind) SELECT 'conference.' || name, 'rooms' FROM domain WHERE kind = 'accounts'
ON CONFLICT (name) DO NOTHING;
