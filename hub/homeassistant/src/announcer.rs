//! What is to be announced, and when. Takes messages and the time, gives publications and
//! the next deadline; it waits for nothing itself.
//!
//! Every publication has a cause of this hub's own: a device that is heard, a change of it,
//! a new title, Home Assistant's start, a new connection. What another hub announces is no
//! cause, so two of them cannot overwrite each other in turns.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use aldis_protocol::{Availability, Climate, Lamp, SensorState, Topic, topic};
use serde_json::Value;

use crate::abilities::Abilities;
use crate::object_id;
use crate::payload::{self, Origin};
use crate::standing::{self, Standing};

/// How many devices are announced at most. Beyond it somebody makes devices up.
pub const MAX_DEVICES: usize = 20_000;
/// For so long after the connection the broker has time to say what it keeps.
const SETTLE_MS: u64 = 2_000;
/// So much more after each thing that it keeps.
const MORE_MS: u64 = 500;
/// What a device says at first comes together: it is announced once for all of it, so long
/// after it is heard and the broker has settled. By chance, so that of two hubs one is first.
const FIRST_MS: std::ops::Range<u64> = 500..2_500;
/// A change is announced so soon.
const CHANGE_MS: u64 = 1_000;
/// A device that changes all the time is announced so often at most.
const BETWEEN_MS: u64 = 60_000;
/// What was overwritten or taken away is announced again after so long.
const MEND_MS: std::ops::Range<u64> = 1_000..5_000;
/// What could not be published is tried again after so long.
const RETRY_MS: std::ops::Range<u64> = 2_000..6_000;
/// What the broker refused is tried again after so long.
const REFUSED_MS: u64 = 60_000;
/// Two readings this old or younger tell the device's interval.
const FRESH_MS: u64 = 10_000;

/// What does not change while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the devices' topics.
    pub prefix: String,
    /// Where Home Assistant looks for devices.
    pub discovery_prefix: String,
    /// Where it says that it has started.
    pub birth_topic: String,
    /// Within how many milliseconds all are announced after that.
    pub birth_spread_ms: u64,
    /// Who announces.
    pub origin: Origin,
    /// Everything that this hub has announced is taken away, and nothing announced.
    pub withdraw: bool,
}

/// To be published at QoS 1, retained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub topic: String,
    /// Empty: taken away.
    pub payload: Vec<u8>,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has it.
    Published,
    /// It may not have it.
    Unknown,
    /// The broker does not want it.
    Refused,
}

/// Why a device is to be announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cause {
    /// Also if the same stands there: Home Assistant asked.
    again: bool,
    /// Also if another hub announced it: somebody named it here.
    named: bool,
}

#[derive(Debug, Default)]
struct Device {
    /// It was heard since the start.
    heard: bool,
    /// It has said how it is, so what was known from before counts no more.
    told: bool,
    abilities: Abilities,
    /// The last reading that tells the interval: whose count, its number, and when it came.
    last: Option<(u16, u32, u64)>,
    standing: Standing,
    due: Option<(u64, Cause)>,
    announced_at: Option<u64>,
    /// A publication is under way; and the mark of what it says.
    under_way: Option<Option<u64>>,
    /// It was removed: what stands there is to be taken away.
    forgotten: bool,
    warned: bool,
}

/// What is to be announced, and when.
#[derive(Debug)]
pub struct Announcer {
    settings: Settings,
    chance: fastrand::Rng,
    devices: HashMap<String, Device>,
    titles: HashMap<String, String>,
    /// Devices that were named here before they were heard.
    named: HashSet<String>,
    queue: BTreeSet<(u64, String)>,
    connected: bool,
    settled_at: u64,
    /// When everything is to be taken away: the topics at which something of ours stands.
    ours: VecDeque<String>,
    leaving: HashSet<String>,
    withdrawn: u64,
    warned_of_many: bool,
}

impl Announcer {
    /// Nothing is known yet. Chance is from the seed alone.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            chance: fastrand::Rng::with_seed(seed),
            devices: HashMap::new(),
            titles: HashMap::new(),
            named: HashSet::new(),
            queue: BTreeSet::new(),
            connected: false,
            settled_at: 0,
            ours: VecDeque::new(),
            leaving: HashSet::new(),
            withdrawn: 0,
            warned_of_many: false,
        }
    }

    /// The topic filters to be subscribed to, and whether each matters.
    pub fn filters(&self) -> Vec<(String, bool)> {
        let settings = &self.settings;
        let mut filters = vec![(
            format!("{}/device/+/config", settings.discovery_prefix),
            true,
        )];
        if settings.withdraw {
            return filters;
        }
        filters.push((settings.birth_topic.clone(), true));
        for topic in [
            Topic::Status,
            Topic::Sensor,
            Topic::Led,
            Topic::Diag,
            Topic::Climate,
        ] {
            // Each reading is one of many.
            let matters = topic != Topic::Climate;
            filters.push((format!("{}/+/{}", settings.prefix, topic.as_str()), matters));
        }
        filters
    }

    /// There is a new connection. The broker is about to say what it keeps.
    pub fn connected(&mut self, now: u64) {
        self.connected = true;
        self.settled_at = now.saturating_add(SETTLE_MS);
        self.ours.clear();
        self.leaving.clear();
        let ids: Vec<_> = self.devices.keys().cloned().collect();
        for id in ids {
            let due = self.settled_at.saturating_add(self.chance.u64(FIRST_MS));
            if let Some(device) = self.devices.get_mut(&id) {
                device.standing = Standing::Nothing;
                device.last = None;
                if device.heard || device.forgotten {
                    self.plan(&id, due, Cause::default());
                }
            }
        }
    }

    /// There is no connection any more.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// A message came.
    pub fn message(&mut self, now: u64, name: &str, payload: &[u8], retained: bool) {
        if name == self.settings.birth_topic {
            // A retained one is old: what it led to was done or is on its way.
            if payload == b"online" && !retained {
                self.birth(now);
            }
        } else if let Some(object_id) = self.announced(name) {
            let object_id = object_id.to_owned();
            self.config(now, name, &object_id, payload, retained);
        } else if let Some((id, topic)) = Topic::parse(&self.settings.prefix, name) {
            self.heard(now, id, topic, payload);
        }
    }

    /// Whose announcement a topic is for.
    fn announced<'t>(&self, name: &'t str) -> Option<&'t str> {
        let rest = name.strip_prefix(&self.settings.discovery_prefix)?;
        rest.strip_prefix("/device/")?.strip_suffix("/config")
    }

    /// Home Assistant has started.
    fn birth(&mut self, now: u64) {
        let ids: Vec<_> = self.devices.keys().cloned().collect();
        let cause = Cause {
            again: true,
            ..Cause::default()
        };
        for id in ids {
            let due = now.saturating_add(self.chance.u64(0..=self.settings.birth_spread_ms));
            // One that is to be announced again keeps its moment: the earlier of two is not
            // by the same chance.
            let wanted = self.devices.get(&id).is_some_and(|device| {
                device.heard && device.due.is_none_or(|(_, planned)| !planned.again)
            });
            if wanted {
                self.plan(&id, due, cause);
            }
        }
    }

    /// Something stands at the broker, or was taken away there.
    fn config(&mut self, now: u64, name: &str, object_id: &str, payload: &[u8], retained: bool) {
        if retained {
            self.settled_at = self.settled_at.max(now.saturating_add(MORE_MS));
        }
        let (standing, known) = standing::read(payload, &self.settings.origin.name);
        if self.settings.withdraw {
            if matches!(standing, Standing::Mine { .. }) && self.leaving.insert(name.to_owned()) {
                self.ours.push_back(name.to_owned());
            }
            return;
        }
        let Some(id) = self.device_named(object_id) else {
            return;
        };
        if !self.devices.contains_key(&id) && (standing == Standing::Nothing || self.is_full()) {
            return;
        }
        let mend = now.saturating_add(self.chance.u64(MEND_MS));
        let device = self.devices.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut device.standing, standing);
        if !device.told {
            device.abilities.merge(&known);
        }
        if device.forgotten || !device.heard {
            return;
        }
        let mend = match standing {
            // Another hub gave it up. Where it was ours, somebody wanted it gone.
            Standing::Nothing if matches!(before, Standing::Other { .. }) => Some(mend),
            Standing::Garbage => Some(mend.max(device.next_change(now))),
            _ => None,
        };
        if let Some(due) = mend {
            self.plan(&id, due, Cause::default());
        }
    }

    /// The device of ours that has this name, if any.
    fn device_named(&self, object_id: &str) -> Option<String> {
        let key = object_id::decode(object_id)?;
        let id = key.strip_prefix(&self.settings.prefix)?.strip_prefix('/')?;
        topic::check_id(id).ok()?;
        Some(id.to_owned())
    }

    /// A device said something.
    fn heard(&mut self, now: u64, id: &str, topic: Topic, payload: &[u8]) {
        if self.settings.withdraw {
            return;
        }
        let Some(said) = Said::read(topic, payload) else {
            return;
        };
        if !self.devices.contains_key(id) && self.is_full() {
            return;
        }
        let settled = now.max(self.settled_at);
        let first = settled.saturating_add(self.chance.u64(FIRST_MS));
        let device = self.devices.entry(id.to_owned()).or_default();
        let new = !device.heard || device.forgotten;
        (device.heard, device.forgotten) = (true, false);
        let changed = device.says(now, said);
        let due = match (new, changed) {
            (true, _) => first,
            (false, true) => device.next_change(now),
            (false, false) => return,
        };
        let cause = Cause {
            named: self.named.remove(id),
            ..Cause::default()
        };
        self.plan(id, due, cause);
    }

    fn is_full(&mut self) -> bool {
        let full = self.devices.len() >= MAX_DEVICES;
        if full && !self.warned_of_many {
            self.warned_of_many = true;
            tracing::warn!(
                "more than {MAX_DEVICES} devices were heard; further ones are not announced to \
                 Home Assistant"
            );
        }
        full
    }

    /// A device is called so from now on; nothing: by its id.
    pub fn title(&mut self, now: u64, key: &str, title: Option<&str>) {
        let before = match title {
            Some(title) => self.titles.insert(key.to_owned(), title.to_owned()),
            None => self.titles.remove(key),
        };
        if before.as_deref() == title {
            return;
        }
        let Some(id) = self.id_of(key).map(str::to_owned) else {
            return;
        };
        let known = self.devices.get(&id).is_some_and(Device::is_known);
        if known {
            let cause = Cause {
                named: true,
                ..Cause::default()
            };
            self.plan(&id, now, cause);
        } else if title.is_some() {
            self.named.insert(id);
        } else {
            self.named.remove(&id);
        }
    }

    /// What devices are called from before.
    pub fn begin_with(&mut self, titles: &HashMap<String, String>) {
        self.titles.clone_from(titles);
    }

    /// What devices are called from now on, all of them.
    pub fn titles(&mut self, now: u64, titles: &HashMap<String, String>) {
        let gone = self.titles.keys().filter(|key| !titles.contains_key(*key));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.title(now, &key, None);
        }
        for (key, title) in titles {
            self.title(now, key, Some(title));
        }
    }

    /// A device was removed. If it speaks again, it is a new one.
    pub fn forget(&mut self, now: u64, key: &str) {
        self.titles.remove(key);
        let Some(id) = self.id_of(key).map(str::to_owned) else {
            return;
        };
        if self.settings.withdraw || topic::check_id(&id).is_err() {
            return;
        }
        self.named.remove(&id);
        let device = self.devices.entry(id.clone()).or_default();
        (device.forgotten, device.heard, device.told) = (true, false, false);
        (device.abilities, device.last) = (Abilities::default(), None);
        if let Some((at, _)) = device.due.take() {
            self.queue.remove(&(at, id.clone()));
        }
        self.plan(&id, now, Cause::default());
    }

    fn id_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(&self.settings.prefix)?.strip_prefix('/')
    }

    /// The device is to be announced then, or sooner if it was to be; for this cause as well.
    fn plan(&mut self, id: &str, due: u64, cause: Cause) {
        let Some(device) = self.devices.get_mut(id) else {
            return;
        };
        let (at, cause) = match device.due {
            Some((at, other)) => {
                self.queue.remove(&(at, id.to_owned()));
                let cause = Cause {
                    again: cause.again || other.again,
                    named: cause.named || other.named,
                };
                (at.min(due), cause)
            }
            None => (due, cause),
        };
        device.due = Some((at, cause));
        self.queue.insert((at, id.to_owned()));
    }

    /// When there is something to do next, if nothing comes.
    pub fn deadline(&self) -> Option<u64> {
        if !self.connected {
            return None;
        }
        if self.settings.withdraw {
            return Some(self.settled_at);
        }
        let (due, _) = self.queue.first()?;
        Some(self.settled_at.max(*due))
    }

    /// What is to be published now. [`done`](Self::done) is to be called for each.
    pub fn next(&mut self, now: u64) -> Option<Publication> {
        if !self.connected || now < self.settled_at {
            return None;
        }
        if let Some(topic) = self.ours.pop_front() {
            let payload = Vec::new();
            return Some(Publication { topic, payload });
        }
        while self.queue.first().is_some_and(|(due, _)| *due <= now) {
            let (_, id) = self.queue.pop_first()?;
            let Some(device) = self.devices.get_mut(&id) else {
                continue;
            };
            let Some((_, cause)) = device.due.take() else {
                continue;
            };
            if device.under_way.is_some() {
                // When that is done, this follows.
                device.due = Some((now, cause));
                continue;
            }
            if let Some(publication) = self.decide(now, &id, cause) {
                return Some(publication);
            }
        }
        None
    }

    /// Whether the device is announced, or taken away, given what stands there.
    fn decide(&mut self, now: u64, id: &str, cause: Cause) -> Option<Publication> {
        let settings = &self.settings;
        let key = format!("{}/{id}", settings.prefix);
        let topic = format!(
            "{}/device/{}/config",
            settings.discovery_prefix,
            object_id::encode(&key)
        );
        let device = self.devices.get_mut(id)?;
        if device.forgotten {
            if !matches!(device.standing, Standing::Mine { .. }) {
                self.devices.remove(id);
                return None;
            }
            device.under_way = Some(None);
            let payload = Vec::new();
            return Some(Publication { topic, payload });
        }
        if let Err(why) = takes(&key) {
            device.warn(|| format!("Home Assistant does not take the device `{key}`: {why}"));
            return None;
        }
        let title = self.titles.get(&key).map(String::as_str);
        let config = payload::device(
            &settings.origin,
            &settings.prefix,
            id,
            title,
            &device.abilities,
        );
        let mark = standing::whole(&config);
        let wanted = match device.standing {
            Standing::Nothing | Standing::Garbage => true,
            Standing::Mine { whole } => cause.again || whole != mark,
            Standing::Other { common, .. } => {
                cause.named || !cause.again && common != standing::common(&config)
            }
            Standing::Foreign => {
                device.warn(|| {
                    format!(
                        "`{key}` is not announced to Home Assistant: something else stands at \
                         `{topic}`; if it is of no use, remove it with: aldis pub -r -t {topic} -n"
                    )
                });
                false
            }
        };
        if !wanted {
            return None;
        }
        device.under_way = Some(Some(mark));
        device.announced_at = Some(now);
        let payload = config.to_string().into_bytes();
        Some(Publication { topic, payload })
    }

    /// What became of a publication.
    pub fn done(&mut self, now: u64, topic: &str, outcome: Outcome) {
        let later = match outcome {
            Outcome::Published => None,
            Outcome::Unknown => Some(now.saturating_add(self.chance.u64(RETRY_MS))),
            Outcome::Refused => Some(now.saturating_add(REFUSED_MS)),
        };
        if self.settings.withdraw {
            self.leaving.remove(topic);
            if outcome == Outcome::Published {
                self.withdrawn = self.withdrawn.saturating_add(1);
            }
            return;
        }
        let Some(id) = self
            .announced(topic)
            .and_then(|name| self.device_named(name))
        else {
            return;
        };
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let Some(mark) = device.under_way.take() else {
            return;
        };
        // What became due meanwhile is in no queue.
        let waiting = device.due.take();
        match later {
            None => {
                device.standing = match mark {
                    Some(whole) => Standing::Mine { whole },
                    None => Standing::Nothing,
                };
                if mark.is_none() && device.forgotten {
                    self.devices.remove(&id);
                    return;
                }
            }
            Some(due) => {
                let cause = Cause {
                    again: mark.is_some(),
                    ..Cause::default()
                };
                self.plan(&id, due, cause);
            }
        }
        if let Some((due, cause)) = waiting {
            self.plan(&id, due, cause);
        }
    }

    /// When everything was to be taken away, and was: how many there were.
    pub fn withdrawn(&self, now: u64) -> Option<u64> {
        let done = self.settings.withdraw
            && self.connected
            && now >= self.settled_at
            && self.leaving.is_empty();
        done.then_some(self.withdrawn)
    }
}

/// Why Home Assistant would not take a device with this key. Our rule for ids is wider than
/// its rule for topics.
fn takes(key: &str) -> Result<(), &'static str> {
    let no_character = |c: char| {
        let c = u32::from(c);
        (0xfdd0..=0xfdef).contains(&c) || c & 0xfffe == 0xfffe
    };
    if key.chars().any(no_character) {
        return Err("its id has a code point that is no character");
    }
    Ok(())
}

/// What a device said, as far as it matters here.
enum Said {
    /// It is there.
    Alive,
    /// It is gone, or has no readings: the time to the next one tells nothing.
    Pause,
    Climate(Climate),
    Diag(serde_json::Map<String, Value>),
}

impl Said {
    /// Nothing that a device says is empty, or has no possible value.
    fn read(topic: Topic, payload: &[u8]) -> Option<Self> {
        match topic {
            Topic::Status => Some(match Availability::decode(payload)? {
                Availability::Online => Self::Alive,
                Availability::Offline => Self::Pause,
            }),
            Topic::Sensor => Some(match SensorState::decode(payload)? {
                SensorState::Ok => Self::Alive,
                SensorState::Stale | SensorState::Missing => Self::Pause,
            }),
            Topic::Led => Lamp::decode(payload).map(|_| Self::Alive),
            Topic::Climate => Climate::decode(payload).ok().map(Self::Climate),
            Topic::Diag => match serde_json::from_slice(payload).ok()? {
                Value::Object(diag) if Abilities::is_diag(&diag) => Some(Self::Diag(diag)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Device {
    /// It said something; whether that changes what is announced.
    fn says(&mut self, now: u64, said: Said) -> bool {
        let before = self.abilities.clone();
        match said {
            Said::Alive => {}
            Said::Pause => self.last = None,
            Said::Diag(diag) => {
                self.told = true;
                self.abilities.diag(&diag);
            }
            Said::Climate(climate) => self.reading(now, &climate),
        }
        self.abilities != before
    }

    /// Readings that follow each other, both sent when they were taken, tell the interval.
    fn reading(&mut self, now: u64, climate: &Climate) {
        if climate.age_ms > FRESH_MS || climate.taken.is_some() {
            self.last = None;
            return;
        }
        let last = self.last.replace((climate.life, climate.seq, now));
        if let Some((life, seq, at)) = last
            && life == climate.life
            && seq.checked_add(1) == Some(climate.seq)
        {
            let interval = Duration::from_millis(now.saturating_sub(at));
            self.abilities.seen_interval(interval);
        }
    }

    /// Enough is known of it to announce it.
    fn is_known(&self) -> bool {
        let announced = matches!(
            self.standing,
            Standing::Mine { .. } | Standing::Other { .. }
        );
        !self.forgotten && (self.heard || announced)
    }

    /// When a change may be announced.
    fn next_change(&self, now: u64) -> u64 {
        let soon = now.saturating_add(CHANGE_MS);
        let again = self.announced_at.map(|at| at.saturating_add(BETWEEN_MS));
        again.map_or(soon, |again| soon.max(again))
    }

    /// Once is enough.
    fn warn(&mut self, text: impl FnOnce() -> String) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!("{}", text());
        }
    }
}

#[cfg(test)]
#[path = "announcer/tests.rs"]
mod tests;
