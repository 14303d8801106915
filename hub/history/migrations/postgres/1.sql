-- A device that was removed keeps its row until its data is deleted; its name is free at once.
CREATE TABLE device (
    id        INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix    TEXT NOT NULL,
    name      TEXT NOT NULL,
    title     TEXT,
    first_ms  BIGINT NOT NULL,
    last_ms   BIGINT NOT NULL,
    -- From when on readings are there, and five-minute rows: before it they are purged.
    raw_from  BIGINT NOT NULL DEFAULT 0,
    five_from BIGINT NOT NULL DEFAULT 0,
    removed   SMALLINT NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX device_name ON device (prefix, name) WHERE removed = 0;

-- A device counts its readings within a life.
CREATE TABLE series (
    id        INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device    INTEGER NOT NULL,
    life      BIGINT NOT NULL,
    base      BIGINT NOT NULL,
    confirmed BIGINT NOT NULL,
    repeated  BIGINT NOT NULL DEFAULT 0,
    UNIQUE (device, life)
) WITH (fillfactor = 70);

-- Which numbers are stored, and which are lost for good.
CREATE TABLE run (
    series INTEGER NOT NULL,
    first  BIGINT NOT NULL,
    last   BIGINT NOT NULL,
    lost   SMALLINT NOT NULL,
    PRIMARY KEY (series, first)
) WITH (fillfactor = 70);

CREATE TABLE reading (
    -- In an order that leaves no room between them.
    seq         BIGINT NOT NULL,
    boot        BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    taken_ms    BIGINT NOT NULL,
    series      INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    h           INTEGER NOT NULL,
    t           SMALLINT NOT NULL,
    exact       SMALLINT NOT NULL,
    PRIMARY KEY (series, seq)
);
CREATE INDEX reading_time ON reading (device, taken_ms, series, seq);

-- Five minutes whose readings changed since they were rolled up.
CREATE TABLE touched (
    device   INTEGER NOT NULL,
    start_ms BIGINT NOT NULL,
    PRIMARY KEY (device, start_ms)
);

CREATE TABLE five (
    device   INTEGER NOT NULL,
    start_ms BIGINT NOT NULL,
    n        INTEGER NOT NULL,
    t_min    SMALLINT NOT NULL,
    t_max    SMALLINT NOT NULL,
    t_sum    BIGINT NOT NULL,
    h_min    INTEGER NOT NULL,
    h_max    INTEGER NOT NULL,
    h_sum    BIGINT NOT NULL,
    PRIMARY KEY (device, start_ms)
);

CREATE TABLE hour (
    device   INTEGER NOT NULL,
    start_ms BIGINT NOT NULL,
    n        INTEGER NOT NULL,
    t_min    SMALLINT NOT NULL,
    t_max    SMALLINT NOT NULL,
    t_sum    BIGINT NOT NULL,
    h_min    INTEGER NOT NULL,
    h_max    INTEGER NOT NULL,
    h_sum    BIGINT NOT NULL,
    PRIMARY KEY (device, start_ms)
);

-- Kinds: 1 led, 2 sensor, 3 status (a word, when it changed); 4 message, 5 what became of one,
-- 6 answer, 7 Morse code heard (JSON).
CREATE TABLE event (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device INTEGER NOT NULL,
    kind   SMALLINT NOT NULL,
    at_ms  BIGINT NOT NULL,
    -- What makes it the same event when it comes again; states have none.
    mark   TEXT,
    value  TEXT NOT NULL
);
CREATE UNIQUE INDEX event_mark ON event (device, kind, mark) WHERE mark IS NOT NULL;
CREATE INDEX event_time ON event (device, at_ms, id);
CREATE INDEX event_kind ON event (device, kind, at_ms, id);

-- The newest of each state, and of the health reports (kind 8).
CREATE TABLE newest (
    device INTEGER NOT NULL,
    kind   SMALLINT NOT NULL,
    at_ms  BIGINT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (device, kind)
) WITH (fillfactor = 70);

CREATE TABLE diag (
    device     INTEGER NOT NULL,
    life       BIGINT NOT NULL,
    boot       BIGINT NOT NULL,
    uptime_s   BIGINT NOT NULL,
    at_ms      BIGINT NOT NULL,
    reset      TEXT,
    rssi_dbm   BIGINT,
    free       BIGINT,
    free_min   BIGINT,
    reconnects BIGINT,
    outbox     BIGINT,
    dropped    BIGINT,
    body       TEXT NOT NULL,
    PRIMARY KEY (device, life, boot, uptime_s)
);
CREATE INDEX diag_time ON diag (device, at_ms);
