-- what: append consents that users gave or took back
-- params: table consent_batch
-- rows: none
INSERT INTO consents SELECT "user", purpose, granted, "at" FROM consent_batch
