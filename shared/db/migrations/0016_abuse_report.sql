-- What users report when they block somebody (XEP-0377). A report goes with the account that made it, and after a time by itself.
CREATE TABLE abuse_report (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid         bytea NOT NULL UNIQUE,               -- of the request and the entry in it: a repetition is no second report
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    at          timestamptz NOT NULL DEFAULT now(),
    reported    text COLLATE "C" NOT NULL,
    reason      text NOT NULL,
    text        text NOT NULL,
    stanza_ids  jsonb NOT NULL,                      -- [[by, id], ...]
    forward     text[] NOT NULL                      -- what the user agrees to: report-origin, third-party
);
CREATE INDEX abuse_report_at ON abuse_report (at);
CREATE INDEX abuse_report_account ON abuse_report (account_id);
CREATE INDEX abuse_report_reported ON abuse_report (reported);
