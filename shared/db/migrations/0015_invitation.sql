-- Invitations to make an account (XEP-0401, XEP-0445). Of a token only its digest is kept: whoever reads this table cannot use one.
CREATE TABLE invitation (
    digest      bytea PRIMARY KEY,
    domain      text COLLATE "C" NOT NULL REFERENCES domain (name) ON DELETE CASCADE,
    localpart   text COLLATE "C",                    -- the username that is kept for whoever comes; NULL: free choice
    inviter     text COLLATE "C" NOT NULL,           -- the bare JID that becomes a contact, and is told to the new user; '' for none
    made_by     text NOT NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz NOT NULL,
    uses        integer NOT NULL                     -- how many accounts may still be made with it
);
CREATE INDEX invitation_expires ON invitation (expires);
CREATE INDEX invitation_localpart ON invitation (domain, localpart) WHERE localpart IS NOT NULL;
