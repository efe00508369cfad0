-- Puzzles of registration that an account was made with (XEP-0158): each counts once, until it is over anyway.
CREATE TABLE captcha_used (
    id          text PRIMARY KEY,
    expires     timestamptz NOT NULL
);
CREATE INDEX captcha_used_expires ON captcha_used (expires);
