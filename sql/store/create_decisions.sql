-- what: what was shown to whom, why, and by which deployment; append-only
-- params: none
-- rows: none
CREATE TABLE decisions (
    request_id VARCHAR NOT NULL,
    "at" BIGINT NOT NULL,
    user_id VARCHAR,
    version VARCHAR NOT NULL,
    items VARCHAR[] NOT NULL,
    scores FLOAT[] NOT NULL,
    reasons VARCHAR[] NOT NULL,
    degraded VARCHAR[] NOT NULL,
    micros INTEGER NOT NULL,
    detail VARCHAR NOT NULL -- JSON
)
