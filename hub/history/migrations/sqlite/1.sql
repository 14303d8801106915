-- A device that was removed keeps its row until its data is deleted; its name is free at once.
CREATE TABLE device (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    prefix    TEXT NOT NULL,
    name      TEXT NOT NULL,
    title     TEXT,
    first_ms  INTEGER NOT NULL,
    last_ms   INTEGER NOT NULL,
    -- From when on readings are there, and five-minute rows: before it they are purged.
    raw_from  INTEGER NOT NULL DEFAULT 0,
    five_from INTEGER NOT NULL DEFAULT 0,
    removed   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX device_name ON device (prefix, name) WHERE removed = 0;

-- A device counts its readings within a life.
CREATE TABLE series (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    device    INTEGER NOT NULL,
    life      INTEGER NOT NULL,
    base      INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    repeated  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device, life)
) STRICT;

-- Which numbers are stored, and which are lost for good.
CREATE TABLE run (
    series INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    lost   INTEGER NOT NULL,
    PRIMARY KEY (series, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE reading (
    series      INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    boot        INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    taken_ms    INTEGER NOT NULL,
    exact       INTEGER NOT NULL,
    t           INTEGER NOT NULL,
    h           INTEGER NOT NULL,
    PRIMARY KEY (series, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX reading_time ON reading (device, taken_ms, series, seq);

-- Five minutes whose readings changed since they were rolled up.
CREATE TABLE touched (
    device   INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    PRIMARY KEY (device, start_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE five (
    device   INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    t_min    INTEGER NOT NULL,
    t_max    INTEGER NOT NULL,
    t_sum    INTEGER NOT NULL,
    h_min    INTEGER NOT NULL,
    h_max    INTEGER NOT NULL,
    h_sum    INTEGER NOT NULL,
    PRIMARY KEY (device, start_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE hour (
    device   INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    t_min    INTEGER NOT NULL,
    t_max    INTEGER NOT NULL,
    t_sum    INTEGER NOT NULL,
    h_min    INTEGER NOT NULL,
    h_max    INTEGER NOT NULL,
    h_sum    INTEGER NOT NULL,
    PRIMARY KEY (device, start_ms)
) STRICT, WITHOUT ROWID;

-- Kinds: 1 led, 2 sensor, 3 status (a word, when it changed); 4 message, 5 what became of one,
-- 6 answer, 7 Morse code heard (JSON).
CREATE TABLE event (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    -- What makes it the same event when it comes again; states have none.
    mark   TEXT,
    value  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_mark ON event (device, kind, mark) WHERE mark IS NOT NULL;
CREATE INDEX event_time ON event (device, at_ms, id);
CREATE INDEX event_kind ON event (device, kind, at_ms, id);

-- The newest of each state, and of the health reports (kind 8).
CREATE TABLE newest (
    device INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (device, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE diag (
    device     INTEGER NOT NULL,
    life       INTEGER NOT NULL,
    boot       INTEGER NOT NULL,
    uptime_s   INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    reset      TEXT,
    rssi_dbm   INTEGER,
    free       INTEGER,
    free_min   INTEGER,
    reconnects INTEGER,
    outbox     INTEGER,
    dropped    INTEGER,
    body       TEXT NOT NULL,
    PRIMARY KEY (device, life, boot, uptime_s)
) STRICT, WITHOUT ROWID;
CREATE INDEX diag_time ON diag (device, at_ms);
