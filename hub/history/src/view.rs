//! What can be read.

use aldis_protocol::Reading;

use crate::arrival::{DeviceKey, Kind};

/// A device that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub key: DeviceKey,
    /// What people call it, if it was renamed.
    pub title: Option<String>,
    /// When it was first heard, in milliseconds since 1970.
    pub first_ms: i64,
    /// When it was last heard.
    pub last_ms: i64,
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The series that it had readings of, ordered by device and life.
    pub series: Vec<Series>,
    /// States that changed, messages, answers and the like that are new.
    pub events: u64,
    /// Health reports that are new.
    pub diags: u64,
}

/// What a batch was to one series of readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Whose readings.
    pub device: DeviceKey,
    /// The device's life in which they are counted.
    pub life: u32,
    /// Which count of that life: 0, unless numbers came that cannot follow those before.
    pub count: u32,
    /// The highest number in the batch.
    pub highest: u32,
    /// Whether no later life of the device is known.
    pub present: bool,
    /// Up to which number everything is stored or given up: this may be confirmed.
    pub confirmed: u32,
    /// How many readings are new.
    pub new: u64,
    /// How many were stored already, or are twice in the batch.
    pub repeated: u64,
}

impl Series {
    /// The life and the count in one number, by which the store knows the series. The first
    /// count of a life has the life's own.
    pub fn key(&self) -> u64 {
        u64::try_from(crate::counts::key(self.life, self.count)).unwrap_or_default()
    }
}

/// How a series of readings stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The device's life in which they are counted.
    pub life: u32,
    /// Where counting begins; what was before it is nobody's gap.
    pub base: u32,
    /// Up to which number everything is stored or given up: this may be confirmed.
    pub confirmed: u32,
    /// The highest number that was stored.
    pub highest: u32,
    /// How many deliveries were repeated.
    pub repeated: u64,
}

/// Readings of which nothing has come, though later ones have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The device's life in which they are counted.
    pub life: u32,
    /// The first missing number.
    pub first: u32,
    /// The last missing number.
    pub last: u32,
    /// Whether they were given up.
    pub lost: bool,
    /// When the reading before was taken, if it is still stored.
    pub after_ms: Option<i64>,
    /// When the reading behind was taken, if it is still stored.
    pub before_ms: Option<i64>,
}

/// A reading as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredReading {
    /// The device's life in which it is counted.
    pub life: u32,
    /// Its number.
    pub seq: u32,
    /// The start of the device in which it was sent.
    pub boot: u32,
    /// When it came first, in milliseconds since 1970.
    pub received_ms: i64,
    /// When it was taken.
    pub taken_ms: i64,
    /// Whether that is certain; else it was taken no later than then.
    pub exact: bool,
    /// What was measured.
    pub reading: Reading,
}

/// Readings of a stretch of time, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where the stretch begins, in milliseconds since 1970.
    pub start_ms: i64,
    /// How many readings it has.
    pub n: u64,
    /// The temperature.
    pub t: Range,
    /// The relative humidity.
    pub h: Range,
}

/// The least, the greatest and the mean of some values, in tenths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least.
    pub min: i32,
    /// The greatest.
    pub max: i32,
    /// The mean.
    pub mean: f64,
}

/// What a chart is drawn of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Readings.
    Raw,
    /// Five minutes.
    Five,
    /// Hours.
    Hour,
}

/// Points to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What they were made of.
    pub level: Level,
    /// How long the stretch of a point is, in milliseconds; 0 if each is one reading.
    pub width_ms: i64,
    /// The points, in order of time; stretches without readings have none.
    pub points: Vec<Point>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What kind.
    pub kind: Kind,
    /// A state's word, or a JSON object: of a message `id`, `from` and `text`; of what became of
    /// it `id`, `state` and `reason`; of an answer `id`, `done` and `reason`; of Morse code `text`
    /// and `wpm`. What is not known is absent.
    pub value: String,
}

/// Time without contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it began, in milliseconds since 1970; if nobody listened then, the last sign of life
    /// of a recorder before.
    pub from_ms: i64,
    /// When it ended, if it has.
    pub to_ms: Option<i64>,
    /// Whether it began while no recorder listened: nobody knows when, and whose fault it was.
    pub hub_away: bool,
}

/// A stretch in which a recorder listens without a break, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listened {
    /// Which stretch: a number by chance.
    pub id: i64,
    /// Since when there was contact with the broker.
    pub back_ms: i64,
    /// From when on nothing that came had waited for the recorder.
    pub from_ms: i64,
    /// When it certainly listened still.
    pub until_ms: i64,
}

/// A health report as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDiag {
    /// When it came, in milliseconds since 1970.
    pub at_ms: i64,
    /// What it says.
    pub diag: crate::arrival::Diag,
}

/// The newest that is known of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latest {
    /// The reading with the highest number of the newest life.
    pub reading: Option<StoredReading>,
    /// Since when the lamp is in which state.
    pub led: Option<(i64, String)>,
    /// Since when the sensor is in which state.
    pub sensor: Option<(i64, String)>,
    /// Since when the device is `online` or `offline`.
    pub status: Option<(i64, String)>,
    /// When the last health report came, and its JSON.
    pub diag: Option<(i64, String)>,
}

/// How long what is kept, in milliseconds; absent: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Readings.
    pub raw_ms: Option<i64>,
    /// Five-minute rows. They are kept as long as the readings at least.
    pub five_ms: Option<i64>,
    /// Hourly rows.
    pub hour_ms: Option<i64>,
    /// States, messages, answers.
    pub events_ms: Option<i64>,
    /// Health reports.
    pub diag_ms: Option<i64>,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Rows that were deleted.
    pub rows: u64,
    /// Whether there is more to delete.
    pub more: bool,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Devices, those included that are being deleted.
    pub devices: u64,
    /// Readings.
    pub readings: u64,
    /// Five-minute rows.
    pub fives: u64,
    /// Hourly rows.
    pub hours: u64,
    /// States, messages, answers.
    pub events: u64,
    /// Health reports.
    pub diags: u64,
    /// Repeated deliveries that were recognised.
    pub repeated: u64,
    /// What it takes on the disk: of SQLite the file and those beside it, of a server the tables
    /// with their indexes, without its log.
    pub bytes: u64,
}
