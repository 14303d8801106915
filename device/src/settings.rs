//! What a device is told about itself, and the memory it works in.

use aldis_mqtt::{
    Backoff, Buffers, CleanStart, Options, OptionsError, QoS, Session, Slot, Timeouts, Versions,
    Will,
};
use aldis_mqtt::{Instant, wire::Properties};
use aldis_protocol::topic::{InvalidName, MAX_LEN};
use aldis_protocol::{Availability, Topic, Topics};

use crate::dht::Model;

/// What a device is told about itself.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Its topics: prefix and id.
    pub topics: Topics<'a>,
    /// Where the plain readout goes, if anywhere.
    pub readout_topic: Option<&'a str>,
    /// Where plain `on` and `off` come from, if from anywhere.
    pub command_topic: Option<&'a str>,
    /// Milliseconds between readouts.
    pub interval_ms: u32,
    /// A recorder confirms readings, and they are kept until it does.
    pub confirm: bool,
    /// Which sensor is connected.
    pub model: Model,
    /// After how many starts in a row that did not last for
    /// [`Device::STABLE_MS`](crate::Device::STABLE_MS) the sensor is left alone;
    /// `None`: never.
    pub start_limit: Option<u8>,
    /// What a long press sends to the sender of a message.
    pub reply: Option<&'a str>,
    /// What can be chosen to be sent; a long press sends the first.
    pub presets: &'a [&'a str],
    /// The device to which these go.
    pub peer: Option<&'a str>,
    /// The button is a Morse key.
    pub morse_key: bool,
    /// How fast the lamp plays Morse code, in words a minute, unless it is told.
    pub morse_wpm: u8,
    /// The version of the firmware.
    pub version: &'a str,
    /// Which versions of MQTT to speak.
    pub versions: Versions,
    /// User name at the broker.
    pub username: Option<&'a str>,
    /// Password at the broker.
    pub password: Option<&'a [u8]>,
    /// After how many seconds of silence the broker is asked for an answer.
    pub keep_alive_s: u16,
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// Waiting between attempts to connect.
    pub backoff: Backoff,
}

impl<'a> Settings<'a> {
    /// The defaults for a device of this id.
    ///
    /// # Errors
    /// If prefix or id cannot stand in a topic.
    pub fn new(prefix: &'a str, id: &'a str) -> Result<Self, InvalidName> {
        Ok(Self {
            topics: Topics::new(prefix, id)?,
            readout_topic: Some(aldis_protocol::topic::DEFAULT_READOUT),
            command_topic: Some(aldis_protocol::topic::DEFAULT_COMMAND),
            interval_ms: 5_000,
            confirm: false,
            model: Model::Auto,
            start_limit: None,
            reply: None,
            presets: &[],
            peer: None,
            morse_key: false,
            morse_wpm: 12,
            version: env!("CARGO_PKG_VERSION"),
            versions: Versions::Any,
            username: None,
            password: None,
            keep_alive_s: 15,
            timeouts: Timeouts::default(),
            backoff: Backoff::default(),
        })
    }
}

/// The memory of a device's session.
#[derive(Debug)]
pub struct Memory {
    receive: [u8; 2_560],
    outbox: [u8; 4096],
    slots: [Slot; 32],
    status: [u8; MAX_LEN],
}

impl Memory {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            receive: [0; 2_560],
            outbox: [0; 4096],
            slots: [Slot::EMPTY; 32],
            status: [0; MAX_LEN],
        }
    }

    /// The session of a device with these settings: its client id is the
    /// device's, and the broker publishes `offline` when the device is lost.
    ///
    /// # Errors
    /// If the settings cannot work.
    pub fn session<'a>(
        &'a mut self,
        settings: &Settings<'a>,
        seed: u64,
        now: Instant,
    ) -> Result<Session<'a>, OptionsError> {
        let status = settings
            .topics
            .write(Topic::Status, &mut self.status)
            .map_err(|_| OptionsError::InvalidWill)?;
        let options = Options {
            username: settings.username,
            password: settings.password,
            will: Some(Will {
                topic: status,
                payload: Availability::Offline.as_str().as_bytes(),
                qos: QoS::AtLeastOnce,
                retain: true,
                properties: Properties::NONE,
            }),
            versions: settings.versions,
            // Messages wait for a device that was switched off.
            clean_start: CleanStart::Never,
            keep_alive_s: settings.keep_alive_s,
            timeouts: settings.timeouts,
            backoff: settings.backoff,
            ..Options::new(settings.topics.id())
        };
        Session::new(
            options,
            Buffers::new(&mut self.receive, &mut self.outbox, &mut self.slots),
            seed,
            now,
        )
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}
