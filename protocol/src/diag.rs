//! The device's health on the wire: the JSON of `diag`.

use crate::json::{self, Value};
use crate::object::Object;
use crate::writer::Writer;
use crate::{BufferTooSmall, DecodeError, Mode, ResetReason};

/// The payload of `diag`. What a board cannot know is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diag<'a> {
    /// Seconds since the start.
    pub uptime_s: Option<u64>,
    /// Counts the device's starts.
    pub boot: Option<u32>,
    /// Why the device started.
    pub reset: Option<ResetReason>,
    /// How strong the access point is received.
    pub rssi_dbm: Option<i8>,
    /// Free memory in bytes.
    pub free: Option<u32>,
    /// The least free memory since the start, in bytes.
    pub free_min: Option<u32>,
    /// How often contact was lost.
    pub reconnects: Option<Reconnects>,
    /// Publications that wait for delivery.
    pub outbox: Option<u32>,
    /// Publications given up.
    pub dropped: Option<Dropped>,
    /// How it runs, where that is not as usual.
    pub mode: Option<Mode>,
    /// The version of the firmware.
    pub version: Option<&'a str>,
}

/// How often contact was lost since the start, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconnects {
    /// The access point was lost.
    pub wifi: Option<u32>,
    /// No address, or a different one.
    pub dhcp: Option<u32>,
    /// The broker's name could not be resolved.
    pub dns: Option<u32>,
    /// The TCP connection failed or was closed.
    pub tcp: Option<u32>,
    /// The broker refused the session.
    pub refused: Option<u32>,
    /// The broker did not answer in time.
    pub silent: Option<u32>,
    /// Another client took the session over.
    pub taken_over: Option<u32>,
    /// The broker ended the session.
    pub broker: Option<u32>,
}

/// Publications given up since the start, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Too old to matter.
    pub expired: Option<u32>,
    /// A newer one took its place.
    pub superseded: Option<u32>,
    /// The outbox was full.
    pub full: Option<u32>,
    /// Messages to the device that were larger than it can receive, if there were any.
    pub too_large: Option<u32>,
}

/// An object of optional counters, its fields named once for both directions.
macro_rules! counters {
    ($name:ident { $($field:ident,)* }) => {
        impl $name {
            fn encode(&self, object: &mut Object<'_, '_>) {
                $(object.number(stringify!($field), self.$field.map(u64::from));)*
            }

            fn decode(value: &Value<'_>, name: &'static str) -> Result<Self, DecodeError> {
                let Value::Object(text) = value else {
                    return Err(DecodeError::Value(name));
                };
                let mut counters = Self::default();
                json::read(text, |key, value| {
                    match key {
                        $(stringify!($field) => {
                            counters.$field = Some(value.u32(stringify!($field))?);
                        })*
                        _ => {}
                    }
                    Ok(())
                })?;
                Ok(counters)
            }
        }
    };
}

counters!(Reconnects {
    wifi,
    dhcp,
    dns,
    tcp,
    refused,
    silent,
    taken_over,
    broker,
});
counters!(Dropped {
    expired,
    superseded,
    full,
    too_large,
});

impl<'a> Diag<'a> {
    /// No payload is longer than this and the version as JSON.
    pub const MAX_LEN: usize = 439;

    /// Writes the JSON object; gives its length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(buffer);
        let mut object = Object::new(&mut writer);
        object.number("uptime_s", self.uptime_s);
        object.number("boot", self.boot.map(u64::from));
        object.text("reset", self.reset.map(ResetReason::as_str));
        if let Some(dbm) = self.rssi_dbm {
            object.key("rssi_dbm").signed(dbm.into());
        }
        object.number("free", self.free.map(u64::from));
        object.number("free_min", self.free_min.map(u64::from));
        if let Some(reconnects) = self.reconnects {
            object.object("reconnects", |object| reconnects.encode(object));
        }
        object.number("outbox", self.outbox.map(u64::from));
        if let Some(dropped) = self.dropped {
            object.object("dropped", |object| dropped.encode(object));
        }
        object.text("mode", self.mode.map(Mode::as_str));
        object.text("version", self.version);
        object.end();
        writer.finish()
    }

    /// Reads the payload; fields come in any order, unknown ones, unknown reasons of a reset
    /// and unknown modes are passed over.
    ///
    /// # Errors
    /// If it is no JSON object or a field has no possible value.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut diag = Self::default();
        json::object(payload, |key, value| {
            match key {
                "uptime_s" => diag.uptime_s = Some(value.u64("uptime_s")?),
                "boot" => diag.boot = Some(value.u32("boot")?),
                "reset" => {
                    let Value::String(reason) = value else {
                        return Err(DecodeError::Value("reset"));
                    };
                    diag.reset = ResetReason::decode(reason.as_bytes());
                }
                "rssi_dbm" => {
                    let dbm = value.i64().and_then(|dbm| dbm.try_into().ok());
                    diag.rssi_dbm = Some(dbm.ok_or(DecodeError::Value("rssi_dbm"))?);
                }
                "free" => diag.free = Some(value.u32("free")?),
                "free_min" => diag.free_min = Some(value.u32("free_min")?),
                "reconnects" => diag.reconnects = Some(Reconnects::decode(&value, "reconnects")?),
                "outbox" => diag.outbox = Some(value.u32("outbox")?),
                "dropped" => diag.dropped = Some(Dropped::decode(&value, "dropped")?),
                "mode" => {
                    diag.mode = value
                        .plain_str()
                        .and_then(|mode| Mode::decode(mode.as_bytes()));
                }
                // One with escapes is none of ours, but no reason to lose the rest.
                "version" => diag.version = value.plain_str(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(diag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Diag<'_> = Diag {
        uptime_s: Some(u64::MAX),
        boot: Some(u32::MAX),
        reset: Some(ResetReason::Watchdog),
        rssi_dbm: Some(i8::MIN),
        free: Some(u32::MAX),
        free_min: Some(u32::MAX),
        reconnects: Some(Reconnects {
            wifi: Some(u32::MAX),
            dhcp: Some(u32::MAX),
            dns: Some(u32::MAX),
            tcp: Some(u32::MAX),
            refused: Some(u32::MAX),
            silent: Some(u32::MAX),
            taken_over: Some(u32::MAX),
            broker: Some(u32::MAX),
        }),
        outbox: Some(u32::MAX),
        dropped: Some(Dropped {
            expired: Some(u32::MAX),
            superseded: Some(u32::MAX),
            full: Some(u32::MAX),
            too_large: Some(u32::MAX),
        }),
        mode: Some(Mode::Safe),
        version: Some(""),
    };

    /// The names are promised; what a board cannot know must not appear as a zero.
    #[test]
    fn the_absent_is_left_out() {
        let mut buffer = [0; 256];
        let diag = Diag {
            uptime_s: Some(60),
            boot: Some(3),
            reset: Some(ResetReason::Power),
            reconnects: Some(Reconnects {
                tcp: Some(1),
                taken_over: Some(0),
                ..Default::default()
            }),
            dropped: Some(Dropped::default()),
            version: Some("0.1.0"),
            ..Default::default()
        };
        let length = diag.encode(&mut buffer).unwrap();
        let expected = r#"{"uptime_s":60,"boot":3,"reset":"power","reconnects":{"tcp":1,"taken_over":0},"dropped":{},"version":"0.1.0"}"#;
        assert_eq!(core::str::from_utf8(&buffer[..length]), Ok(expected));
        assert_eq!(Diag::decode(&buffer[..length]), Ok(diag));
        let length = Diag::default().encode(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"{}");
    }

    /// A buffer sized by the constant loses the report of a device in trouble.
    #[test]
    fn the_longest_fits() {
        let mut buffer = [0; Diag::MAX_LEN + 2];
        assert_eq!(FULL.encode(&mut buffer), Ok(Diag::MAX_LEN + 2));
        assert_eq!(Diag::decode(&buffer), Ok(FULL));
        assert_eq!(FULL.encode(&mut buffer[1..]), Err(BufferTooSmall));
    }

    /// A newer firmware's report must still be read, a wrong one not be believed.
    #[test]
    fn the_unknown_is_passed_over_and_the_wrong_refused() {
        let decode = |text: &'static str| Diag::decode(text.as_bytes());
        let diag = decode(
            r#"{"version":"a\u0062","reset":"cosmic ray","dropped":{"new":[],"full":2},"x":{}}"#,
        );
        let dropped = Some(Dropped {
            full: Some(2),
            ..Default::default()
        });
        assert_eq!(
            diag,
            Ok(Diag {
                dropped,
                ..Default::default()
            })
        );
        for (text, error) in [
            (r#"{"free":1.5}"#, DecodeError::Value("free")),
            (r#"{"reset":1}"#, DecodeError::Value("reset")),
            (r#"{"rssi_dbm":-129}"#, DecodeError::Value("rssi_dbm")),
            (r#"{"dropped":3}"#, DecodeError::Value("dropped")),
            (r#"{"reconnects":{"tcp":"1"}}"#, DecodeError::Value("tcp")),
            ("", DecodeError::Malformed),
        ] {
            assert_eq!(decode(text), Err(error), "{text}");
        }
    }
}
