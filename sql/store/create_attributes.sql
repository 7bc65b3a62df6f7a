-- what: the free attributes of items and users: name, kind and length, in the order of their columns a0, a1 ..
-- params: none
-- rows: none
CREATE TABLE attributes (
    owner VARCHAR NOT NULL, -- item | user
    position INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    size INTEGER NOT NULL -- of a vector, else 0
)
