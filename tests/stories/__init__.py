"""Stories: black-box scripts in the grammar of scansion, run against Rookery and, to check our expectations, Prosody."""
