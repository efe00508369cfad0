-- Relays of byte streams (XEP-0065): every domain of accounts has one, and `rookery domain del` takes it away.
INSERT INTO domain (name, kind) SELECT 'proxy.' || name, 'proxy' FROM domain WHERE kind = 'accounts'
ON CONFLICT (name) DO NOTHING;
