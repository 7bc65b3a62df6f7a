-- what: what users allowed and took back, append-only; the last row of a (user, purpose) holds
-- params: none
-- rows: none
CREATE TABLE consents ("user" INTEGER NOT NULL, purpose VARCHAR NOT NULL, granted BOOLEAN NOT NULL, "at" BIGINT NOT NULL)
