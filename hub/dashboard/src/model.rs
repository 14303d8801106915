//! What is known of the devices at this moment: what they say, and what is kept of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aldis_history::{DeviceKey, Gap, Latest};
use aldis_protocol::{
    Answer, Availability, Climate, Diag, Lamp, MessageReport, MorseHeard, Scratch, SensorState,
    Topic,
};
use serde_json::{Map, Value};

use crate::view::{self, Live, tenths};

/// A reading that was so old when it came was made without contact.
const LATE_MS: i64 = 10_000;
/// Messages of a device that are remembered, until they are in the store.
const MESSAGES: usize = 50;
/// Health reports over this are no device's.
const LONGEST_DIAG: usize = 8192;
/// Devices that are shown; made-up ones are no reason to grow for ever.
const MOST: usize = 20_000;

/// The devices.
#[derive(Debug, Default)]
pub(crate) struct Model {
    devices: BTreeMap<DeviceKey, Entry>,
    /// Devices of which something other than the reading changed and is to be told.
    changed: BTreeSet<DeviceKey>,
    /// Whether the store's devices are among them.
    pub loaded: bool,
    /// How often a device was removed here.
    pub removals: u64,
}

#[derive(Debug)]
struct Entry {
    view: view::Device,
    /// The store knows it.
    stored: bool,
    /// What the store knew of it has been read.
    read: bool,
    /// The last reading's life and number.
    counted: Option<(u16, u32)>,
    /// Numbers are missing, or were: the store knows which.
    ask_gaps: bool,
    messages: VecDeque<view::Message>,
}

impl Entry {
    fn new(key: &DeviceKey, now: i64) -> Self {
        Self {
            view: view::Device {
                key: key.to_string(),
                prefix: key.prefix().to_owned(),
                id: key.id().to_owned(),
                title: None,
                status: None,
                since_ms: None,
                lamp: None,
                sensor: None,
                t: None,
                h: None,
                taken_ms: None,
                first_ms: now,
                last_ms: now,
                gaps: 0,
                lost: 0,
                diag: None,
            },
            stored: false,
            read: false,
            counted: None,
            ask_gaps: true,
            messages: VecDeque::new(),
        }
    }
}

/// What was published, on a topic of a device.
pub(crate) struct Heard<'a> {
    pub payload: &'a [u8],
    pub retain: bool,
    pub now: i64,
}

impl Model {
    /// A device, if it is known.
    pub fn device(&self, key: &DeviceKey) -> Option<&view::Device> {
        self.devices.get(key).map(|entry| &entry.view)
    }

    /// All of them, by name.
    pub fn devices(&self) -> Vec<view::Device> {
        self.devices
            .values()
            .map(|entry| entry.view.clone())
            .collect()
    }

    /// The messages to a device that were seen lately, oldest first.
    pub fn messages(&self, key: &DeviceKey) -> Vec<view::Message> {
        let entry = self.devices.get(key);
        entry.map_or_else(Vec::new, |entry| entry.messages.iter().cloned().collect())
    }

    /// When the first device was first heard.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.devices.values().map(|entry| entry.view.first_ms).min()
    }

    /// The devices that changed since this was asked last.
    pub fn changed(&mut self) -> BTreeSet<DeviceKey> {
        std::mem::take(&mut self.changed)
    }

    /// Takes what was published on a device's topic, and says what is to be told at once. What
    /// makes no sense changes nothing, and makes no device.
    pub fn hear(&mut self, key: &DeviceKey, topic: Topic, heard: &Heard<'_>) -> Option<Live> {
        let Heard {
            payload,
            retain,
            now,
        } = *heard;
        match topic {
            Topic::Climate => {
                let climate = Climate::decode(payload).ok().filter(|_| !retain)?;
                self.reading(key, &climate, now)
            }
            Topic::Status => {
                if payload.is_empty() {
                    return self.forget(key, |view| view.status = None);
                }
                let status = Availability::decode(payload)?.as_str();
                self.update(key, now, !retain, |view| {
                    if view.status != Some(status) {
                        view.status = Some(status);
                        // One that was kept by the broker began at some time before.
                        view.since_ms = (!retain).then_some(now);
                    }
                });
                None
            }
            Topic::Led => {
                if payload.is_empty() {
                    return self.forget(key, |view| view.lamp = None);
                }
                let lamp = Lamp::decode(payload)?.as_str();
                self.update(key, now, !retain, |view| view.lamp = Some(lamp));
                None
            }
            Topic::Sensor => {
                if payload.is_empty() {
                    return self.forget(key, |view| view.sensor = None);
                }
                let sensor = SensorState::decode(payload)?.as_str();
                self.update(key, now, !retain, |view| view.sensor = Some(sensor));
                None
            }
            Topic::Diag => {
                let diag = diag(payload, now).filter(|_| !retain)?;
                self.update(key, now, true, |view| view.diag = Some(diag));
                None
            }
            Topic::MessageSet => {
                let mut scratch = Scratch::new();
                let message = aldis_protocol::Message::decode(payload, &mut scratch).ok()?;
                if retain {
                    return None;
                }
                self.message(key, &message, now)
            }
            Topic::MessageState => {
                let mut scratch = Scratch::new();
                let report = MessageReport::decode(payload, &mut scratch).ok()?;
                if retain {
                    return None;
                }
                self.report(key, &report, now)
            }
            Topic::Answer => {
                let mut scratch = Scratch::new();
                let answer = Answer::decode(payload, &mut scratch)
                    .ok()
                    .filter(|_| !retain)?;
                self.entry(key, now)?.view.last_ms = now;
                Some(Live::Answer {
                    key: key.to_string(),
                    id: answer.id.map(str::to_owned),
                    done: answer.outcome.is_ok(),
                    reason: answer.outcome.err().map(str::to_owned),
                })
            }
            Topic::MorseHeard => {
                let mut scratch = Scratch::new();
                let heard = MorseHeard::decode(payload, &mut scratch)
                    .ok()
                    .filter(|_| !retain)?;
                self.entry(key, now)?.view.last_ms = now;
                Some(Live::Morse {
                    key: key.to_string(),
                    text: heard.text.to_owned(),
                    wpm: heard.wpm,
                    at_ms: now,
                })
            }
            _ => None,
        }
    }

    /// The device's entry, made if it is new and there is room.
    fn entry(&mut self, key: &DeviceKey, now: i64) -> Option<&mut Entry> {
        if !self.devices.contains_key(key) {
            if self.devices.len() >= MOST {
                tracing::debug!("the dashboard shows {MOST} devices, and {key} not");
                return None;
            }
            self.devices.insert(key.clone(), Entry::new(key, now));
            self.changed.insert(key.clone());
        }
        self.devices.get_mut(key)
    }

    /// Changes what is shown of a device.
    fn update(
        &mut self,
        key: &DeviceKey,
        now: i64,
        heard: bool,
        change: impl FnOnce(&mut view::Device),
    ) {
        let Some(entry) = self.entry(key, now) else {
            return;
        };
        let before = entry.view.clone();
        change(&mut entry.view);
        let changed = entry.view != before;
        if heard {
            entry.view.last_ms = now;
        }
        if changed {
            self.changed.insert(key.clone());
        }
    }

    /// What the broker kept of a device was cleared: that makes no device.
    fn forget(&mut self, key: &DeviceKey, change: impl FnOnce(&mut view::Device)) -> Option<Live> {
        let entry = self.devices.get_mut(key)?;
        let before = entry.view.clone();
        change(&mut entry.view);
        if entry.view.status.is_none() {
            entry.view.since_ms = None;
        }
        if entry.view != before {
            self.changed.insert(key.clone());
        }
        None
    }

    fn reading(&mut self, key: &DeviceKey, climate: &Climate, now: i64) -> Option<Live> {
        let entry = self.entry(key, now)?;
        let counted = (climate.life, climate.seq);
        // The same once more: it was delivered twice.
        if entry.counted == Some(counted) {
            return None;
        }
        let follows = entry.counted.is_some_and(|(life, seq)| {
            life == climate.life && seq.checked_add(1) == Some(climate.seq)
        });
        entry.ask_gaps |= !follows;
        entry.counted = Some(counted);
        let age_ms = i64::try_from(climate.age_ms).unwrap_or(i64::MAX);
        let taken_ms = now.saturating_sub(age_ms).max(0);
        let (t, h) = (
            tenths(climate.reading.t.into()),
            tenths(climate.reading.h.into()),
        );
        let view = &mut entry.view;
        view.last_ms = now;
        // One that is said to be taken in the future was stamped by a clock that has been set back.
        let newest = view
            .taken_ms
            .is_none_or(|last| taken_ms >= last || last > now);
        if newest {
            (view.t, view.h, view.taken_ms) = (Some(t), Some(h), Some(taken_ms));
        }
        Some(Live::Reading {
            key: key.to_string(),
            taken_ms,
            t,
            h,
            late: !newest || age_ms >= LATE_MS || climate.taken.is_some(),
        })
    }

    fn message(
        &mut self,
        key: &DeviceKey,
        message: &aldis_protocol::Message<'_>,
        now: i64,
    ) -> Option<Live> {
        // What others say to a device that never spoke makes none.
        let entry = self.devices.get_mut(key)?;
        let (id, from) = (
            message.id.map(str::to_owned),
            message.from.map(str::to_owned),
        );
        if id.is_some()
            && entry
                .messages
                .iter()
                .any(|known| known.id == id && known.from == from)
        {
            return None;
        }
        entry.keep(view::Message {
            id: id.clone(),
            from: from.clone(),
            text: message.text.to_owned(),
            at_ms: now,
            states: Vec::new(),
        });
        Some(Live::Sent {
            key: key.to_string(),
            id,
            from,
            text: message.text.to_owned(),
            at_ms: now,
        })
    }

    fn report(&mut self, key: &DeviceKey, report: &MessageReport<'_>, now: i64) -> Option<Live> {
        let entry = self.entry(key, now)?;
        entry.view.last_ms = now;
        let age_ms = i64::try_from(report.age_ms).unwrap_or(i64::MAX);
        let at_ms = now.saturating_sub(age_ms).max(0);
        let state = report.state.as_str();
        let reason = report.reason.map(str::to_owned);
        if let Some(id) = report.id {
            let mut messages = entry.messages.iter_mut().rev();
            let message = messages.find(|message| message.id.as_deref() == Some(id));
            if let Some(message) = message {
                // At QoS 1, and to who asks again, it comes again.
                if message.states.iter().any(|known| known.state == state) {
                    return None;
                }
                message.states.push(view::State {
                    state: state.to_owned(),
                    at_ms,
                    reason: reason.clone(),
                });
            }
        }
        Some(Live::State {
            key: key.to_string(),
            id: report.id.map(str::to_owned),
            state,
            at_ms,
            reason,
        })
    }

    /// Takes the store's list of devices; says which are gone from it.
    pub fn merge(&mut self, stored: &[aldis_history::Device]) -> Vec<DeviceKey> {
        self.loaded = true;
        let known: BTreeSet<_> = stored.iter().map(|device| &device.key).collect();
        let gone: Vec<_> = self
            .devices
            .iter()
            .filter(|(key, entry)| entry.stored && !known.contains(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.devices.remove(key);
            self.changed.remove(key);
        }
        for device in stored {
            let Some(entry) = self.entry(&device.key, device.first_ms) else {
                continue;
            };
            let before = entry.view.clone();
            if !entry.stored {
                entry.stored = true;
                entry.view.last_ms = entry.view.last_ms.max(device.last_ms);
            }
            entry.view.first_ms = device.first_ms;
            entry.view.title.clone_from(&device.title);
            if entry.view != before {
                self.changed.insert(device.key.clone());
            }
        }
        gone
    }

    /// Which devices the store is to be asked about: what it knew of them before, and what is
    /// missing of their readings.
    pub fn to_ask(&self) -> Vec<(DeviceKey, bool)> {
        self.devices
            .iter()
            .filter(|(_, entry)| {
                entry.stored && (!entry.read || entry.ask_gaps || entry.view.gaps > 0)
            })
            .map(|(key, entry)| (key.clone(), !entry.read))
            .collect()
    }

    /// Takes what the store knew of a device; what the device has said since stands.
    pub fn recall(&mut self, key: &DeviceKey, latest: &Latest) {
        let Some(entry) = self.devices.get_mut(key) else {
            return;
        };
        entry.read = true;
        let view = &mut entry.view;
        let before = view.clone();
        if let Some((at_ms, word)) = &latest.status {
            let status = Availability::decode(word.as_bytes()).map(Availability::as_str);
            if view.status.is_none() || (view.status == status && view.since_ms.is_none()) {
                (view.status, view.since_ms) = (status, Some(*at_ms));
            }
        }
        if let Some((_, word)) = &latest.led {
            view.lamp = view
                .lamp
                .or(Lamp::decode(word.as_bytes()).map(Lamp::as_str));
        }
        if let Some((_, word)) = &latest.sensor {
            let sensor = SensorState::decode(word.as_bytes()).map(SensorState::as_str);
            view.sensor = view.sensor.or(sensor);
        }
        if let Some(reading) = &latest.reading
            && view.taken_ms.is_none()
        {
            view.t = Some(tenths(reading.reading.t.into()));
            view.h = Some(tenths(reading.reading.h.into()));
            view.taken_ms = Some(reading.taken_ms);
        }
        if let Some((at_ms, body)) = &latest.diag
            && view.diag.is_none()
        {
            view.diag = diag(body.as_bytes(), *at_ms);
        }
        if *view != before {
            self.changed.insert(key.clone());
        }
    }

    /// Takes what is missing of a device's readings.
    pub fn count(&mut self, key: &DeviceKey, gaps: &[Gap]) {
        let sum = |lost: bool| {
            let of = gaps.iter().filter(|gap| gap.lost == lost);
            of.map(|gap| u64::from(gap.last.saturating_sub(gap.first)).saturating_add(1))
                .fold(0, u64::saturating_add)
        };
        let (missing, lost) = (sum(false), sum(true));
        let Some(entry) = self.devices.get_mut(key) else {
            return;
        };
        entry.ask_gaps = false;
        if (entry.view.gaps, entry.view.lost) != (missing, lost) {
            (entry.view.gaps, entry.view.lost) = (missing, lost);
            self.changed.insert(key.clone());
        }
    }

    /// Gives a device a title.
    pub fn rename(&mut self, key: &DeviceKey, title: Option<&str>) {
        if let Some(entry) = self.devices.get_mut(key) {
            entry.view.title = title.map(str::to_owned);
            self.changed.insert(key.clone());
        }
    }

    /// Forgets a device; says whether it was known.
    pub fn remove(&mut self, key: &DeviceKey) -> bool {
        self.removals = self.removals.wrapping_add(1);
        self.changed.remove(key);
        self.devices.remove(key).is_some()
    }
}

impl Entry {
    fn keep(&mut self, message: view::Message) {
        if self.messages.len() >= MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }
}

/// A health report as it was published, if it is one.
pub(crate) fn diag(payload: &[u8], at_ms: i64) -> Option<Map<String, Value>> {
    if payload.len() > LONGEST_DIAG {
        return None;
    }
    Diag::decode(payload).ok()?;
    let Value::Object(mut fields) = serde_json::from_slice(payload).ok()? else {
        return None;
    };
    fields.insert("at_ms".to_owned(), at_ms.into());
    Some(fields)
}
