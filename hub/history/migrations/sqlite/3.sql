-- Stretches in which a recorder listened: since when it had contact with the broker, from when on
-- nothing that came had waited there, and its last sign of life.
CREATE TABLE listened (
    id       INTEGER PRIMARY KEY,
    back_ms  INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX listened_until ON listened (until_ms);
