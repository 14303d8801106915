//! What the console says: one line for each change, in words that a script can wait
//! for.

use core::fmt;
use core::net::Ipv4Addr;

use aldis_mqtt::{Cause, Version};
use aldis_protocol::{Lamp, MessageState, Reading, ResetReason, SensorState};

/// A line of the console. Printed, it is that line.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// The firmware begins to run.
    Boot {
        /// Its version.
        version: &'a str,
        /// The device's id.
        id: &'a str,
        /// How many starts there were.
        boot: u32,
        /// Why it started.
        reset: Option<ResetReason>,
    },
    /// It was started too often without lasting.
    Safe,
    /// It has lasted in the safe mode: all of it is tried again.
    SafeEnds,
    /// The configuration cannot be used.
    Config(aldis_flash::config::Error),
    /// The state cannot be kept.
    Store(aldis_flash::store::Error),
    /// The wireless network was joined.
    Joined(&'a str),
    /// It was lost: why.
    LostWifi(&'a str),
    /// It could not be joined, for another reason than before.
    NotJoined(&'a str),
    /// The radio's driver does not start: why.
    NoDriver(&'a str),
    /// The device has this address.
    Ip(Ipv4Addr),
    /// It has none any more.
    NoIp,
    /// The broker accepted the connection.
    Connected {
        /// Its host.
        host: &'a str,
        /// Its port.
        port: u16,
        /// The version of MQTT.
        version: Version,
    },
    /// The broker is asked at the latest after so many seconds: the path forgets
    /// connections that are quiet for longer, or is tried with more.
    Quiet(u32),
    /// The connection was lost.
    Lost(Cause),
    /// There is none, for another reason than before.
    NotConnected(Cause),
    /// The sensor's state.
    Sensor(SensorState),
    /// The lamp's state.
    Lamp(Lamp),
    /// A measurement.
    Reading(Reading),
    /// A message for the person at the device came: its id.
    Message(&'a str),
    /// What became of a message.
    MessageState(&'a str, MessageState),
    /// A message of the person at the device is on its way: to whom.
    Sending(&'a str),
    /// Somebody keyed this, at so many words a minute.
    Heard(&'a str, u8),
    /// A message was not obeyed: its topic, and why.
    Ignored(&'a str, &'a str),
    /// The broker refused a topic: why.
    Refused(&'a str, aldis_mqtt::ReasonCode),
    /// The supervisor wants something done.
    Order(aldis_device::Order),
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Boot {
                version,
                id,
                boot,
                reset,
            } => {
                write!(f, "boot: aldis {version} {id} start {boot}")?;
                match reset {
                    Some(reset) => write!(f, " reset {reset}"),
                    None => Ok(()),
                }
            }
            Self::Safe => f.write_str(
                "boot: safe mode for ten minutes, five starts did not last a minute: sensor and \
                 display are left alone",
            ),
            Self::SafeEnds => {
                f.write_str("boot: safe mode ends, sensor and display are tried again")
            }
            Self::Config(error) => write!(f, "config: {error}"),
            Self::Store(error) => write!(f, "store: {error}"),
            Self::Joined(ssid) => write!(f, "wifi: joined {ssid}"),
            Self::LostWifi(reason) => write!(f, "wifi: lost {reason}"),
            Self::NotJoined(reason) => write!(f, "wifi: not joined {reason}"),
            Self::NoDriver(why) => write!(f, "wifi: no driver {why}"),
            Self::Ip(address) => write!(f, "ip: {address}"),
            Self::NoIp => f.write_str("ip: none"),
            Self::Connected {
                host,
                port,
                version,
            } => {
                let version = match version {
                    Version::V4 => 4,
                    Version::V5 => 5,
                };
                write!(f, "mqtt: connected {host}:{port} v{version}")
            }
            Self::Quiet(seconds) => write!(f, "mqtt: asking after {seconds} s"),
            Self::Lost(cause) => write!(f, "mqtt: lost {cause}"),
            Self::NotConnected(cause) => write!(f, "mqtt: not connected {cause}"),
            Self::Sensor(state) => write!(f, "sensor: {state}"),
            Self::Lamp(lamp) => write!(f, "lamp: {lamp}"),
            Self::Reading(reading) => write!(
                f,
                "reading: {}C {}%",
                reading.temperature(),
                reading.humidity()
            ),
            Self::Message(id) => write!(f, "message: {id} received"),
            Self::MessageState(id, state) => write!(f, "message: {id} {state}"),
            Self::Sending(to) => write!(f, "message: sending to {to}"),
            Self::Heard(text, wpm) => write!(f, "morse: {text} at {wpm} wpm"),
            Self::Ignored(topic, why) => write!(f, "ignored: {topic}: {why}"),
            Self::Refused(topic, reason) => write!(f, "refused: {topic}: {reason}"),
            Self::Order(order) => f.write_str(match order {
                aldis_device::Order::Rejoin => "supervisor: nothing gets through, joining again",
                aldis_device::Order::Reinitialise => "supervisor: starting the radio again",
                aldis_device::Order::Reset => "supervisor: the radio is stuck, restarting",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_mqtt::Network;

    /// Scripts wait for these words.
    #[test]
    fn lines_are_as_promised() {
        for (line, expected) in [
            (Line::Joined("home"), "wifi: joined home"),
            (
                Line::LostWifi("beacon timeout"),
                "wifi: lost beacon timeout",
            ),
            (Line::Ip(Ipv4Addr::new(10, 0, 2, 15)), "ip: 10.0.2.15"),
            (
                Line::Connected {
                    host: "hub.local",
                    port: 1883,
                    version: Version::V5,
                },
                "mqtt: connected hub.local:1883 v5",
            ),
            (
                Line::Connected {
                    host: "10.0.2.2",
                    port: 1884,
                    version: Version::V4,
                },
                "mqtt: connected 10.0.2.2:1884 v4",
            ),
            (Line::Quiet(30), "mqtt: asking after 30 s"),
            (
                Line::Lost(Cause::Network(Network::Closed)),
                "mqtt: lost the broker closed the connection",
            ),
            (Line::Sensor(SensorState::Missing), "sensor: missing"),
            (Line::Lamp(Lamp::On), "lamp: on"),
            (
                Line::Boot {
                    version: "0.1.0",
                    id: "kitchen",
                    boot: 3,
                    reset: Some(ResetReason::Brownout),
                },
                "boot: aldis 0.1.0 kitchen start 3 reset brownout",
            ),
            (
                Line::Config(aldis_flash::config::Error::Damaged),
                "config: damaged: write it again with `aldis flash --config-only`",
            ),
            (Line::Message("7"), "message: 7 received"),
            (
                Line::MessageState("7", MessageState::Read),
                "message: 7 read",
            ),
            (Line::Sending("hall"), "message: sending to hall"),
            (Line::Heard("SOS", 12), "morse: SOS at 12 wpm"),
            (
                Line::Reading(Reading { t: -78, h: 703 }),
                "reading: -7.8C 70.3%",
            ),
        ] {
            assert_eq!(line.to_string(), expected);
        }
    }
}
