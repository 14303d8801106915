//! What a device can do and say, as far as it has shown it.

use std::time::Duration;

use aldis_protocol::ResetReason;
use serde_json::{Map, Value};

/// The longest version that is passed on.
const MAX_VERSION: usize = 64;

/// After which time without a reading it counts as unknown: the shortest of these that is
/// four times as long as the device's interval.
const EXPIRY_S: [u32; 6] = [300, 1_200, 7_200, 43_200, 172_800, 604_800];

/// The parts of a device that not every device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// How long it is up.
    Uptime,
    /// Why it started.
    Reset,
    /// How strong the access point is received.
    Rssi,
    /// Free memory.
    Free,
    /// The least free memory.
    FreeMin,
    /// How often contact was lost.
    Reconnects,
    /// What waits for delivery.
    Outbox,
    /// What was given up.
    Dropped,
    /// It restarts when it is told.
    Restart,
}

impl Part {
    pub const ALL: [Self; 9] = [
        Self::Uptime,
        Self::Reset,
        Self::Rssi,
        Self::Free,
        Self::FreeMin,
        Self::Reconnects,
        Self::Outbox,
        Self::Dropped,
        Self::Restart,
    ];

    /// The component that stands for it.
    pub const fn component(self) -> &'static str {
        match self {
            Self::Uptime => "uptime",
            Self::Reset => "reset",
            Self::Rssi => "rssi",
            Self::Free => "free",
            Self::FreeMin => "free_min",
            Self::Reconnects => "reconnects",
            Self::Outbox => "outbox",
            Self::Dropped => "dropped",
            Self::Restart => "restart",
        }
    }

    /// Whether a `diag` shows it.
    fn shown(self, diag: &Map<String, Value>) -> bool {
        let number = |field| diag.get(field).is_some_and(Value::is_number);
        let object = |field| diag.get(field).is_some_and(Value::is_object);
        match self {
            Self::Uptime => number("uptime_s"),
            Self::Reset => {
                let reason = diag.get("reset").and_then(Value::as_str);
                reason.is_some_and(|word| ResetReason::decode(word.as_bytes()).is_some())
            }
            Self::Rssi => number("rssi_dbm"),
            Self::Free => number("free"),
            Self::FreeMin => number("free_min"),
            Self::Reconnects => object("reconnects"),
            Self::Outbox => number("outbox"),
            Self::Dropped => object("dropped"),
            // Every firmware that says its version knows the command.
            Self::Restart => version(diag).is_some(),
        }
    }
}

/// What a device has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The version of its firmware.
    pub version: Option<String>,
    parts: [bool; Part::ALL.len()],
    slowness: usize,
}

impl Abilities {
    /// Whether it has this part.
    pub fn has(&self, part: Part) -> bool {
        self.parts.get(part as usize).copied().unwrap_or(false)
    }

    /// It has this part.
    pub fn add(&mut self, part: Part) {
        if let Some(has) = self.parts.get_mut(part as usize) {
            *has = true;
        }
    }

    /// How long a reading counts, in seconds.
    pub fn expiry_s(&self) -> u32 {
        EXPIRY_S.get(self.slowness).copied().unwrap_or(EXPIRY_S[0])
    }

    /// Readings were seen this far apart.
    pub fn seen_interval(&mut self, interval: Duration) {
        let needed = interval.as_secs().saturating_mul(4);
        self.slow(needed);
    }

    /// It was known before how long a reading counts.
    pub fn seen_expiry(&mut self, seconds: u64) {
        self.slow(seconds);
    }

    /// Only ever slower: each step is one more announcement.
    fn slow(&mut self, needed: u64) {
        let enough = EXPIRY_S.iter().position(|&step| u64::from(step) >= needed);
        self.slowness = self.slowness.max(enough.unwrap_or(EXPIRY_S.len() - 1));
    }

    /// The device said this of its health. Another firmware begins anew: what it does not
    /// say is gone.
    pub fn diag(&mut self, diag: &Map<String, Value>) {
        if let Some(version) = version(diag)
            && self.version.as_deref() != Some(version)
        {
            if self.version.is_some() {
                self.parts = Default::default();
            }
            self.version = Some(version.to_owned());
        }
        for part in Part::ALL {
            if part.shown(diag) {
                self.add(part);
            }
        }
    }

    /// Whether a `diag` says anything at all.
    pub fn is_diag(diag: &Map<String, Value>) -> bool {
        diag.contains_key("version") || Part::ALL.into_iter().any(|part| part.shown(diag))
    }

    /// Takes over what is known from elsewhere, where nothing is known here.
    pub fn merge(&mut self, other: &Self) {
        if self.version.is_none() {
            self.version.clone_from(&other.version);
        }
        for part in Part::ALL {
            if other.has(part) {
                self.add(part);
            }
        }
        self.slowness = self.slowness.max(other.slowness);
    }
}

/// The version that a `diag` says.
fn version(diag: &Map<String, Value>) -> Option<&str> {
    let version = diag.get("version").and_then(Value::as_str);
    version.filter(|version| is_version(version))
}

/// Whether this is fit to be shown as a version.
pub fn is_version(version: &str) -> bool {
    (1..=MAX_VERSION).contains(&version.len()) && !version.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use aldis_protocol::{Diag, Dropped, Reconnects};

    use super::*;

    fn diag(abilities: &mut Abilities, text: &[u8]) {
        let value: Value = serde_json::from_slice(text).unwrap();
        abilities.diag(value.as_object().unwrap());
    }

    fn parts(abilities: &Abilities) -> Vec<Part> {
        Part::ALL
            .into_iter()
            .filter(|&part| abilities.has(part))
            .collect()
    }

    /// A device would get sensors that stay unknown for ever, or lack those it has.
    #[test]
    fn parts_are_what_the_device_publishes() {
        let mut buffer = [0; Diag::MAX_LEN + 8];
        let mut written = |diag: Diag<'_>| {
            let len = diag.encode(&mut buffer).unwrap();
            buffer[..len].to_vec()
        };
        let pc = written(Diag {
            uptime_s: Some(60),
            boot: Some(1),
            reconnects: Some(Reconnects::default()),
            outbox: Some(0),
            dropped: Some(Dropped::default()),
            version: Some("0.1.0"),
            ..Diag::default()
        });
        let mut abilities = Abilities::default();
        diag(&mut abilities, &pc);
        let common = [
            Part::Uptime,
            Part::Reconnects,
            Part::Outbox,
            Part::Dropped,
            Part::Restart,
        ];
        assert_eq!(parts(&abilities), common);
        assert_eq!(abilities.version.as_deref(), Some("0.1.0"));

        let chip = written(Diag {
            reset: Some(ResetReason::Brownout),
            rssi_dbm: Some(-61),
            free: Some(1),
            free_min: Some(1),
            version: Some("0.1.0"),
            ..Diag::default()
        });
        diag(&mut abilities, &chip);
        assert_eq!(parts(&abilities), Part::ALL);

        // Another firmware, that says less.
        diag(&mut abilities, br#"{"version":"0.2.0","uptime_s":1}"#);
        assert_eq!(parts(&abilities), [Part::Uptime, Part::Restart]);
    }

    /// Garbage would become sensors, or a version of ten kilobytes.
    #[test]
    fn what_has_no_possible_value_shows_nothing() {
        let mut abilities = Abilities::default();
        diag(
            &mut abilities,
            br#"{"uptime_s":"1","reset":"boredom","rssi_dbm":null,"free":{},"reconnects":3,
                "outbox":[],"dropped":"","version":"a\nb"}"#,
        );
        assert_eq!(abilities, Abilities::default());
        diag(
            &mut abilities,
            format!("{{\"version\":\"{}\"}}", "v".repeat(65)).as_bytes(),
        );
        assert_eq!(abilities, Abilities::default());
    }

    /// A device that is read once an hour would be unavailable for most of it.
    #[test]
    fn a_slow_device_has_readings_that_count_longer() {
        let mut abilities = Abilities::default();
        assert_eq!(abilities.expiry_s(), 300);
        for (interval_s, expiry_s) in [
            (5, 300),
            (75, 300),
            (76, 1_200),
            (60, 1_200),
            (3_600, 43_200),
            (86_400, 604_800),
            (1_000_000, 604_800),
        ] {
            abilities.seen_interval(Duration::from_secs(interval_s));
            assert_eq!(abilities.expiry_s(), expiry_s, "{interval_s}");
        }
    }
}
