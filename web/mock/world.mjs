//! A hub that is made up: devices with a past that is a function of the time, and a present that
//! a test can steer. Nothing is stored; the same seed has the same past.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Devices measure so often. */
export const EVERY_MS = 5000;

/** A number between 0 and 1 that belongs to the numbers given. */
function chance(...parts) {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    let rest = Math.floor(part);
    for (let byte = 0; byte < 6; byte += 1) {
      hash = Math.imul(hash ^ (rest & 0xff), 0x01000193);
      rest = Math.floor(rest / 256);
    }
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3ce6);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
}

/** Noise that changes smoothly, once in `period`. */
function smooth(seed, at, period) {
  const step = Math.floor(at / period);
  const part = at / period - step;
  const ease = part * part * (3 - 2 * part);
  return chance(seed, step) * (1 - ease) + chance(seed, step + 1) * ease;
}

const one = (value) => Math.round(value * 10) / 10;

const NAMES = [
  ['kitchen', 'Kitchen', 21.4, 46], ['attic', 'Attic', 17.8, 55], ['greenhouse', 'Greenhouse', 24.6, 71],
  ['cellar', 'Cellar', 11.9, 78], ['hall', null, 19.6, 49], ['workshop', 'Workshop', 16.2, 52],
  ['esp-a0b1c2d3e4f5', null, 20.1, 44], ['balcony', 'Balcony', 8.7, 68],
];
const CAUSES = ['wifi', 'silent', 'tcp', 'dns', 'broker', 'power', 'brownout', null];

export class World {
  /** `now` is the clock; `devices` how many; `later` runs what the devices do after a while. */
  constructor({ devices = 8, seed = 1, now = () => Date.now(), later = (run, ms) => setTimeout(run, ms).unref() } = {}) {
    this.now = now;
    this.seed = seed;
    this.later = later;
    this.listeners = new Set();
    this.topicListeners = new Set();
    this.devices = new Map();
    this.topics = new Map();
    this.startedMs = now() - 3 * DAY - 4 * HOUR;
    this.stored = 0;
    this.nextId = 1;
    this.broker = { connected: true, since_ms: this.startedMs, why: null };
    this.urls = ['https://192.168.1.107:8443', 'https://hub.local:8443'];
    for (let index = 0; index < devices; index += 1) this.addDevice(index);
  }

  addDevice(index) {
    const now = this.now();
    const [name, title, t0, h0] = NAMES[index] ?? [`node-${String(index).padStart(4, '0')}`, null, 14 + chance(this.seed, index) * 12, 35 + chance(this.seed, index, 2) * 40];
    const device = {
      index, t0, h0,
      prefix: 'aldis', id: name, key: `aldis/${name}`, title,
      status: 'online', since_ms: now - Math.floor((0.2 + chance(this.seed, index, 3) * 3) * DAY),
      lamp: index % 5 === 0 ? 'on' : 'off', sensor: 'ok',
      t: null, h: null, taken_ms: null,
      first_ms: now - (index === 0 ? 400 : 40 + (index % 300)) * DAY, last_ms: now,
      gaps: 0, lost: 0, gaps_list: [],
      diag: null,
      /** What it does with commands: `ok`, `refuse`, `silent`. */
      manner: 'ok',
      seq: 100_000 + index,
      messages: [],
      events: [],
      outages: [],
    };
    for (let back = 0; back < 60; back += 1) {
      if (chance(this.seed, index, back, 7) > 0.13) continue;
      const from = now - back * DAY - Math.floor(chance(this.seed, index, back, 8) * DAY);
      if (from > now - HOUR || from < device.first_ms) continue;
      const long = Math.floor(20_000 + chance(this.seed, index, back, 9) ** 4 * 3 * HOUR);
      device.outages.push({ from_ms: from, to_ms: Math.min(from + long, now - 10 * MINUTE), cause: CAUSES[Math.floor(chance(this.seed, index, back, 10) * CAUSES.length)] });
    }
    device.outages.sort((a, b) => a.from_ms - b.from_ms);
    const last = device.outages.at(-1);
    device.since_ms = last ? last.to_ms : device.first_ms;
    device.diag = {
      at_ms: now - 20_000, uptime_s: Math.floor((now - device.since_ms) / 1000), boot: 3 + (index % 9), reset: 'power',
      rssi_dbm: -48 - (index % 30), free: 121_000 - index * 13, free_min: 88_000 - index * 11,
      reconnects: { wifi: index % 3, dhcp: 0, dns: 0, tcp: 1, refused: 0, silent: index % 2, taken_over: 0, broker: 0 },
      outbox: 0, dropped: { expired: 0, superseded: 0, full: 0 }, version: '0.1.0',
    };
    const { t, h } = this.climate(device, now);
    Object.assign(device, { t, h, taken_ms: now - Math.floor(chance(this.seed, index, 4) * EVERY_MS) });
    this.devices.set(device.key, device);
    this.retain(device, 'status', device.status);
    this.retain(device, 'led', device.lamp);
    this.retain(device, 'sensor', device.sensor);
    device.events.push({ at_ms: device.since_ms, kind: 'status', value: 'online' });
    return device;
  }

  /** A made-up climate: the day's curve, the weather's, and the noise of a sensor. */
  climate(device, at) {
    const outside = ['greenhouse', 'balcony'].includes(device.id) ? 3 : 1;
    const day = Math.sin(((at % DAY) / DAY - 0.38) * 2 * Math.PI);
    const year = Math.sin(((at % (365 * DAY)) / (365 * DAY) - 0.3) * 2 * Math.PI);
    const weather = smooth(this.seed * 31 + device.index, at, 1.7 * DAY) - 0.5;
    const draught = smooth(this.seed * 57 + device.index, at, 23 * MINUTE) - 0.5;
    const noise = chance(this.seed, device.index, at / EVERY_MS) - 0.5;
    const t = device.t0 + outside * (1.4 * day + 2.2 * year + 2.4 * weather) + 0.5 * draught + 0.2 * noise;
    const h = device.h0 - outside * (3 * day - 6 * weather) + 4 * draught + 0.6 * noise;
    return { t: one(t), h: one(Math.min(99.9, Math.max(5, h))) };
  }

  isOut(device, at) {
    return device.outages.some((outage) => at >= outage.from_ms && (outage.to_ms === null || at < outage.to_ms));
  }

  // What the API says.

  view(device) {
    const { key, prefix, id, title, status, since_ms, lamp, sensor, t, h, taken_ms, first_ms, last_ms, gaps, lost, diag } = device;
    return { key, prefix, id, title, status, since_ms, lamp, sensor, t, h, taken_ms, first_ms, last_ms, gaps, lost, diag };
  }

  chart(device, from, to, points) {
    const now = this.now();
    const start = Math.max(from, device.first_ms);
    const end = Math.min(to, now);
    const span = Math.max(1, to - from);
    const level = span <= 2 * DAY ? 'raw' : span <= 60 * DAY ? '5min' : 'hour';
    const natural = { raw: EVERY_MS, '5min': 5 * MINUTE, hour: HOUR }[level];
    const step = Math.max(natural, Math.ceil(span / points / natural) * natural);
    const data = { level, at_ms: [], t_min: [], t: [], t_max: [], h_min: [], h: [], h_max: [], count: [] };
    let wasOut = false;
    const push = (at, row) => {
      data.at_ms.push(at);
      for (const name of ['t_min', 't', 't_max', 'h_min', 'h', 'h_max']) data[name].push(row ? row[name] : null);
      data.count.push(row ? Math.round(step / EVERY_MS) : 0);
    };
    for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
      const middle = at + step / 2;
      if (this.isOut(device, step === EVERY_MS ? at : middle)) {
        if (!wasOut) push(at, null);
        wasOut = true;
        continue;
      }
      wasOut = false;
      const samples = step === EVERY_MS ? [at] : Array.from({ length: 7 }, (_, part) => at + (part / 7) * step);
      const climates = samples.map((sample) => this.climate(device, sample));
      const t = climates.map((climate) => climate.t);
      const h = climates.map((climate) => climate.h);
      const mean = (values) => one(values.reduce((sum, value) => sum + value, 0) / values.length);
      push(at, { t_min: Math.min(...t), t: mean(t), t_max: Math.max(...t), h_min: Math.min(...h), h: mean(h), h_max: Math.max(...h) });
    }
    return data;
  }

  *csv(device, from, to) {
    yield 'time,seq,t,h\r\n';
    const end = Math.min(to, this.now());
    for (let at = Math.ceil(Math.max(from, device.first_ms) / EVERY_MS) * EVERY_MS; at <= end; at += EVERY_MS) {
      if (this.isOut(device, at)) continue;
      const { t, h } = this.climate(device, at);
      yield `${new Date(at).toISOString()},${Math.floor(at / EVERY_MS)},${t},${h}\r\n`;
    }
  }

  health() {
    return {
      version: '0.1.0', started_ms: this.startedMs, now_ms: this.now(), memory_bytes: 31_400_000, cpu_percent: 1.4,
      broker: { connected: this.broker.connected, url: 'mqtt://127.0.0.1:1883', since_ms: this.broker.since_ms },
      recorder: { running: true, stored: 412_345 + this.stored, repeated: 231, waiting: 0, last_commit_ms: this.now() - 600, commit_p99_ms: 7.3, error: null },
      store: { kind: 'sqlite', readings: 6_912_345 + this.stored, bytes: 231_000_000, oldest_ms: this.now() - 400 * DAY },
      disk: { free_bytes: 53_000_000_000 },
      dashboard: { live_clients: this.listeners.size },
    };
  }

  // What happens.

  emit(kind, data) {
    for (const listener of this.listeners) listener(kind, data);
  }

  publish(topic, payload, { qos = 1, retain = false, base64 = null } = {}) {
    const message = { topic, payload, base64, qos, retain: false, at_ms: this.now() };
    this.topics.set(topic, { ...message, retain });
    for (const listener of this.topicListeners) listener(message);
  }

  retain(device, name, payload) {
    this.publish(`${device.key}/${name}`, payload, { retain: true });
  }

  event(device, kind, value) {
    device.events.unshift({ at_ms: this.now(), kind, value });
    device.events.length = Math.min(device.events.length, 500);
  }

  changed(device) {
    this.emit('device', this.view(device));
  }

  /** A device measures. */
  reading(device, values = this.climate(device, this.now())) {
    const now = this.now();
    Object.assign(device, values, { taken_ms: now, last_ms: now, seq: device.seq + 1 });
    this.stored += 1;
    this.emit('reading', { key: device.key, taken_ms: now, t: device.t, h: device.h, late: false });
    this.publish(`${device.key}/climate`, JSON.stringify({ seq: device.seq, boot: device.diag?.boot ?? 1, age_ms: 0, t: device.t, h: device.h, life: 40123 }));
  }

  setStatus(device, status, cause = null) {
    if (device.status === status) return;
    const now = this.now();
    Object.assign(device, { status, since_ms: now });
    if (status === 'offline') device.outages.push({ from_ms: now, to_ms: null, cause: null });
    else for (const outage of device.outages) if (outage.to_ms === null) Object.assign(outage, { to_ms: now, cause });
    this.event(device, 'status', status);
    this.retain(device, 'status', status);
    this.changed(device);
  }

  setSensor(device, sensor) {
    device.sensor = sensor;
    this.event(device, 'sensor', sensor);
    this.retain(device, 'sensor', sensor);
    this.changed(device);
  }

  setLamp(device, lamp) {
    device.lamp = lamp;
    this.event(device, 'led', lamp);
    this.retain(device, 'led', lamp);
    this.changed(device);
  }

  lampCommand(device, state) {
    const id = `w-${this.nextId++}`;
    const answer = (done, reason = null) => {
      this.event(device, 'answer', { id, done, reason });
      this.emit('answer', { key: device.key, id, done, reason });
    };
    this.later(() => {
      if (device.manner === 'silent' || device.status === 'offline') return;
      if (device.manner === 'refuse') return answer(false, 'perhaps given before the device was started');
      this.setLamp(device, state === 'toggle' ? (device.lamp === 'on' ? 'off' : 'on') : state);
      answer(true);
    }, 120);
    return id;
  }

  message(device, text, from, ttlS = null) {
    const id = `w-${this.nextId++}`;
    const message = { id, from, text, at_ms: this.now(), states: [] };
    device.messages.unshift(message);
    this.event(device, 'message', { id, from, text });
    this.emit('message', { key: device.key, id, from, text, at_ms: message.at_ms });
    this.later(() => {
      if (device.manner === 'silent' || device.status === 'offline') return;
      if (device.manner === 'refuse') return this.messageState(device, id, 'refused', 'larger than the device can receive');
      this.messageState(device, id, 'received');
      this.later(() => this.messageState(device, id, 'shown'), 250);
      if (ttlS !== null) this.later(() => this.messageState(device, id, 'expired'), ttlS * 1000);
    }, 150);
    return id;
  }

  messageState(device, id, state, reason = null) {
    const message = device.messages.find((other) => other.id === id);
    if (!message || message.states.some((other) => ['read', 'expired', 'refused', 'replaced'].includes(other.state))) return;
    const at_ms = this.now();
    message.states.push({ state, at_ms, reason });
    this.event(device, 'message_state', { id, state, reason });
    this.emit('message', { key: device.key, id, state, at_ms, reason });
  }

  setBroker(connected, why = null) {
    this.broker = { connected, since_ms: this.now(), why };
    this.emit('broker', { connected, why });
  }

  remove(key) {
    this.devices.delete(key);
    for (const topic of this.topics.keys()) if (topic.startsWith(`${key}/`)) this.topics.delete(topic);
    this.emit('removed', { key });
  }

  /** A life for people to look at: everybody measures, somebody reads, now and then one is lost. */
  live() {
    let turn = 0;
    const devices = () => [...this.devices.values()];
    const timer = setInterval(() => {
      const all = devices();
      const each = Math.max(1, Math.ceil((all.length * 100) / EVERY_MS));
      const started = Math.floor(((turn * 100) % EVERY_MS) / 100);
      for (const device of all.slice(started * each, (started + 1) * each)) {
        if (device.status === 'online' && device.sensor === 'ok') this.reading(device);
      }
      turn += 1;
    }, 100);
    const health = setInterval(() => this.emit('health', this.health()), 5000);
    return () => {
      clearInterval(timer);
      clearInterval(health);
    };
  }
}

/** What the pictures and a first look want: something of each kind. */
export function furnish(world) {
  const now = world.now();
  const of = (id) => world.devices.get(`aldis/${id}`);
  const kitchen = of('kitchen');
  if (kitchen) {
    kitchen.outages = kitchen.outages.filter((outage) => outage.to_ms < now - 30 * HOUR);
    kitchen.outages.push({ from_ms: now - 14 * HOUR, to_ms: now - 12.6 * HOUR, cause: 'wifi' });
    kitchen.since_ms = now - 12.6 * HOUR;
    Object.assign(kitchen, { gaps: 12, lost: 3 });
    kitchen.gaps_list = [{ life: 40123, first: 81_202, last: 81_213, lost: false }, { life: 40123, first: 77_120, last: 77_122, lost: true }];
    const past = (minutes, from, text, states) => kitchen.messages.push({
      id: `p-${minutes}`, from, text, at_ms: now - minutes * MINUTE,
      states: states.map(([state, after, reason = null]) => ({ state, at_ms: now - minutes * MINUTE + after, reason })),
    });
    past(9, 'dashboard', 'Dinner is ready, come down!', [['received', 180], ['shown', 420]]);
    past(95, 'attic', 'Coming', [['received', 210], ['shown', 460], ['read', 43_000]]);
    past(240, 'dashboard', 'Please water the tomatoes', [['received', 200], ['shown', 500], ['expired', 3600_000]]);
    const past_event = (minutes, kind, value) => kitchen.events.push({ at_ms: now - minutes * MINUTE, kind, value });
    past_event(9, 'message_state', { id: 'p-9', state: 'shown' });
    past_event(9, 'message', { id: 'p-9', from: 'hub', text: 'Dinner is ready, come down!' });
    past_event(31, 'led', 'on');
    past_event(31, 'answer', { id: 'w-0', done: true, reason: null });
    past_event(94, 'message_state', { id: 'p-95', state: 'read' });
    past_event(756, 'status', 'online');
    past_event(840, 'status', 'offline');
    kitchen.events.sort((a, b) => b.at_ms - a.at_ms);
  }
  if (of('attic')) of('attic').manner = 'refuse';
  if (of('hall')) of('hall').manner = 'silent';
  if (of('cellar')) {
    const cellar = of('cellar');
    Object.assign(cellar, { status: 'offline', since_ms: now - 47 * MINUTE, taken_ms: now - 47 * MINUTE, last_ms: now - 47 * MINUTE });
    cellar.outages.push({ from_ms: now - 47 * MINUTE, to_ms: null, cause: null });
    world.retain(cellar, 'status', 'offline');
  }
  if (of('workshop')) Object.assign(of('workshop'), { sensor: 'missing', taken_ms: now - 8 * MINUTE });
  world.publish('testincr', 't=24.1C, h=26.5%.', { qos: 0 });
  world.publish('homeassistant/status', 'online', { retain: true });
}
