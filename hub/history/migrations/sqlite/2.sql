-- The recorder's clock: the moment that is believed, and another one that it has been telling
-- since, for so long of the recorder's running.
CREATE TABLE clock (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    believed_ms INTEGER,
    told_ms     INTEGER,
    ran_ms      INTEGER NOT NULL
) STRICT;
INSERT INTO clock VALUES (1, NULL, NULL, 0);
