-- Accounts that wait until an operator approves of them: they are disabled, and this is why.
CREATE TABLE registration_request (
    account_id  bigint PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    address     text NOT NULL,                       -- where it was asked from
    at          timestamptz NOT NULL DEFAULT now()
);
