-- Stretches in which a recorder listened: since when it had contact with the broker, from when on
-- nothing that came had waited there, and its last sign of life.
CREATE TABLE listened (
    id       BIGINT PRIMARY KEY,
    back_ms  BIGINT NOT NULL,
    from_ms  BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE INDEX listened_until ON listened (until_ms);
