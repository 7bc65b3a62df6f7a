-- what: begin to say how far the journal is stored, which event numbers were given, how many ingests there were, and whose store this is
-- params: none
-- rows: none
INSERT INTO meta VALUES ('last_seq', '-1'), ('ingests', '0'), ('ingests_marked', '0'), ('last_event', '-1'), ('store', uuid()::VARCHAR)
