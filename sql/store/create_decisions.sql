-- what: what was shown to whom, why, and by which deployment; append-only
-- params: none
-- rows: none
CREATE TABLE decisions (
    request_id VARCHAR NOT NULL,
    "at" BIGINT NOT NULL, -- microseconds since 1970
    user_id VARCHAR,
    version VARCHAR NOT NULL,
    cold BOOLEAN NOT NULL,
    items VARCHAR[] NOT NULL, -- best first
    scores FLOAT[] NOT NULL,
    reasons VARCHAR[] NOT NULL, -- the leading reason of each item
    contributions VARCHAR NOT NULL, -- JSON: for each item {model: what it adds to the score, in log-odds}
    degraded VARCHAR[] NOT NULL,
    batch INTEGER NOT NULL, -- requests answered together
    times VARCHAR NOT NULL -- JSON: {stage: nanoseconds of the batch}
)
