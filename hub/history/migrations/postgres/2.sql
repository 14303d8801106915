-- The recorder's clock: the moment that is believed, and another one that it has been telling
-- since, for so long of the recorder's running.
CREATE TABLE clock (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    believed_ms BIGINT,
    told_ms     BIGINT,
    ran_ms      BIGINT NOT NULL
);
INSERT INTO clock VALUES (1, NULL, NULL, 0);
