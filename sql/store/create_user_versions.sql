-- what: what is known of users, one row a version; one more column a0, a1 .. for every attribute (table attributes)
-- params: none
-- rows: none
CREATE TABLE user_versions (
    seq BIGINT NOT NULL,
    "row" INTEGER NOT NULL,
    valid_from BIGINT NOT NULL, -- the smallest BIGINT = since ever
    available BOOLEAN NOT NULL
)
