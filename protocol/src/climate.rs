//! Readings on the wire: the JSON of `climate`, its acknowledgement, and the plain readout.

use crate::json::{self, Value};
use crate::writer::Writer;
use crate::{BufferTooSmall, DecodeError, Reading};

/// The payload of `climate`: a reading, and which and how old it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Climate {
    /// Counts the device's readings, over restarts.
    pub seq: u32,
    /// Whose count that is: a number by chance, which a device takes when it has no memory
    /// of an earlier count; zero where it is not said.
    pub life: u16,
    /// Counts the device's starts.
    pub boot: u32,
    /// The start in which the reading was taken, where that was an earlier one:
    /// how long the device was off since then is not in `age_ms`.
    pub taken: Option<u32>,
    /// How old the reading was when it was sent, in milliseconds.
    pub age_ms: u64,
    /// What was measured.
    pub reading: Reading,
}

impl Climate {
    /// No payload is longer than this.
    pub const MAX_LEN: usize = 121;
    /// The message expiry interval with which a device publishes it, in seconds (MQTT 5 only).
    /// A broker passes on what is left of it (MQTT-3.3.2-6), so a receiver knows how long the
    /// broker let it wait: [`Climate::waited_s`].
    ///
    /// 115 days: longer than brokers keep the session of a recorder that is away, so that
    /// no reading is lost by it, and longer than the device's session counts down by itself
    /// (2^32 ms). A broker whose clock ends in 2038 can add it until then.
    pub const EXPIRY_S: u32 = 10_000_000;

    /// How many seconds a broker let a reading wait that came with so much left of
    /// [`Climate::EXPIRY_S`], to a second or two; nothing, where it came without.
    ///
    /// To be added to `age_ms`. A broker that bounds expiry intervals seems to let each wait for
    /// weeks: compare with one that came at once.
    pub const fn waited_s(left_s: Option<u32>) -> Option<u32> {
        match left_s {
            Some(left_s) => Self::EXPIRY_S.checked_sub(left_s),
            None => None,
        }
    }

    /// Writes `{"seq":1,"boot":3,"age_ms":0,"t":24.1,"h":26.5,"life":40123}`, with `"taken":2`
    /// behind `boot` where that is known; gives its length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(buffer);
        writer
            .str("{\"seq\":")
            .number(self.seq.into())
            .str(",\"boot\":")
            .number(self.boot.into());
        if let Some(taken) = self.taken {
            writer.str(",\"taken\":").number(taken.into());
        }
        writer
            .str(",\"age_ms\":")
            .number(self.age_ms)
            .str(",\"t\":")
            .tenths(self.reading.temperature())
            .str(",\"h\":")
            .tenths(self.reading.humidity());
        if self.life != 0 {
            writer.str(",\"life\":").number(self.life.into());
        }
        writer.str("}").finish()
    }

    /// Reads the payload; fields come in any order, unknown ones are passed over, decimals are
    /// rounded to tenths.
    ///
    /// # Errors
    /// If it is no JSON object, or a field is missing or has no possible value.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (mut seq, mut boot, mut taken, mut life) = (None, None, None, 0);
        let (mut age_ms, mut t, mut h) = (None, None, None);
        json::object(payload, |key, value| {
            match key {
                "seq" => seq = Some(value.u32("seq")?),
                "boot" => boot = Some(value.u32("boot")?),
                "life" => life = value.u16("life")?,
                "taken" => taken = Some(value.u32("taken")?),
                "age_ms" => age_ms = Some(value.u64("age_ms")?),
                "t" => t = Some(tenths(&value, "t")?),
                "h" => h = Some(tenths(&value, "h")?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            seq: seq.ok_or(DecodeError::Missing("seq"))?,
            life,
            boot: boot.ok_or(DecodeError::Missing("boot"))?,
            taken,
            age_ms: age_ms.ok_or(DecodeError::Missing("age_ms"))?,
            reading: Reading {
                t: t.ok_or(DecodeError::Missing("t"))?,
                h: h.ok_or(DecodeError::Missing("h"))?,
            },
        })
    }
}

fn tenths<T: TryFrom<i32>>(value: &Value<'_>, field: &'static str) -> Result<T, DecodeError> {
    let tenths = value.tenths().ok_or(DecodeError::Value(field))?;
    T::try_from(tenths).map_err(|_| DecodeError::Value(field))
}

/// Writes the readout for people, `t=24.1C, h=26.5%.`; gives its length.
///
/// # Errors
/// If it does not fit; 24 bytes always suffice.
pub fn encode_readout(reading: Reading, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
    Writer::new(buffer)
        .str("t=")
        .tenths(reading.temperature())
        .str("C, h=")
        .tenths(reading.humidity())
        .str("%.")
        .finish()
}

/// Writes the payload of `climate/ack`: every reading up to `seq` is stored, counted in this life
/// (zero: it is not said). Gives its length.
///
/// # Errors
/// If it does not fit; 16 bytes always suffice.
pub fn encode_ack(seq: u32, life: u16, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let mut writer = Writer::new(buffer);
    writer.number(seq.into());
    if life != 0 {
        writer.str(" ").number(life.into());
    }
    writer.finish()
}

/// Reads the payload of `climate/ack`: the number and the life, which is zero where it is not
/// said. Decimal digits, one space between the two, and nothing else.
pub fn decode_ack(payload: &[u8]) -> Option<(u32, u16)> {
    let text = core::str::from_utf8(payload).ok()?;
    match text.split_once(' ') {
        Some((seq, life)) => Some((digits(seq)?, digits(life)?)),
        None => Some((digits(text)?, 0)),
    }
}

fn digits<T: core::str::FromStr>(text: &str) -> Option<T> {
    // A sign would be taken as well.
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readout(t: i16, h: u16) -> std::string::String {
        let mut buffer = [0; 24];
        let length = encode_readout(Reading { t, h }, &mut buffer).unwrap();
        std::str::from_utf8(&buffer[..length]).unwrap().into()
    }

    /// Programs of before parse this line.
    #[test]
    fn the_readout_is_as_it_always_was() {
        assert_eq!(readout(241, 265), "t=24.1C, h=26.5%.");
        assert_eq!(readout(0, 0), "t=0.0C, h=0.0%.");
        assert_eq!(readout(-5, 1000), "t=-0.5C, h=100.0%.");
        assert_eq!(readout(-78, 703), "t=-7.8C, h=70.3%.");
        assert_eq!(readout(i16::MIN, u16::MAX), "t=-3276.8C, h=6553.5%.");
    }

    /// The form that the design promises, and its greatest length.
    #[test]
    fn climate_is_written_as_promised() {
        let mut buffer = [0; Climate::MAX_LEN];
        let climate = Climate {
            seq: 1,
            life: 0,
            boot: 3,
            taken: None,
            age_ms: 0,
            reading: Reading { t: 241, h: 265 },
        };
        let length = climate.encode(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..length],
            br#"{"seq":1,"boot":3,"age_ms":0,"t":24.1,"h":26.5}"#
        );
        let of_before = Climate {
            taken: Some(2),
            life: 40_123,
            ..climate
        };
        let length = of_before.encode(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..length],
            br#"{"seq":1,"boot":3,"taken":2,"age_ms":0,"t":24.1,"h":26.5,"life":40123}"#
        );
        let longest = Climate {
            seq: u32::MAX,
            life: u16::MAX,
            boot: u32::MAX,
            taken: Some(u32::MAX),
            age_ms: u64::MAX,
            reading: Reading {
                t: i16::MIN,
                h: u16::MAX,
            },
        };
        assert_eq!(longest.encode(&mut buffer), Ok(Climate::MAX_LEN));
        assert_eq!(longest.encode(&mut buffer[1..]), Err(BufferTooSmall));
    }

    /// Another program's JSON is as good as ours; what is missing or impossible is not.
    #[test]
    fn climate_is_read_in_any_form() {
        let reading = Reading { t: -78, h: 700 };
        assert_eq!(
            Climate::decode(
                br#" { "h" : 7e1, "new": {"a": [1, "}"]}, "t":-7.75,"age_ms":5,
                       "boot":3,"seq":9 } "#
            ),
            Ok(Climate {
                seq: 9,
                life: 0,
                boot: 3,
                taken: None,
                age_ms: 5,
                reading
            })
        );
        let decode = |payload: &str| Climate::decode(payload.as_bytes()).unwrap_err();
        assert_eq!(decode("t=24.1C, h=26.5%."), DecodeError::Malformed);
        assert_eq!(decode("{}"), DecodeError::Missing("seq"));
        assert_eq!(
            decode(r#"{"seq":1,"boot":1,"age_ms":0,"t":1}"#),
            DecodeError::Missing("h")
        );
        assert_eq!(decode(r#"{"seq":-1}"#), DecodeError::Value("seq"));
        assert_eq!(decode(r#"{"seq":4294967296}"#), DecodeError::Value("seq"));
        assert_eq!(decode(r#"{"seq":"1"}"#), DecodeError::Value("seq"));
        assert_eq!(decode(r#"{"t":null}"#), DecodeError::Value("t"));
        assert_eq!(decode(r#"{"t":3276.8}"#), DecodeError::Value("t"));
        assert_eq!(decode(r#"{"h":-0.1}"#), DecodeError::Value("h"));
        assert_eq!(decode(r#"{"h":1e999}"#), DecodeError::Value("h"));
    }

    /// A reading would be as old as the broker's wait is long, or older than that.
    #[test]
    fn what_is_left_tells_the_wait() {
        assert_eq!(Climate::waited_s(Some(Climate::EXPIRY_S)), Some(0));
        assert_eq!(Climate::waited_s(Some(9_999_940)), Some(60));
        assert_eq!(Climate::waited_s(Some(0)), Some(10_000_000));
        assert_eq!(Climate::waited_s(None), None);
        // Of somebody else.
        assert_eq!(Climate::waited_s(Some(u32::MAX)), None);
    }

    /// A wrong acknowledgement makes the device forget readings that nobody stored.
    #[test]
    fn acknowledgements_are_strict() {
        let mut buffer = [0; 16];
        for (seq, life) in [(0, 0), (7, 1), (u32::MAX, u16::MAX)] {
            let length = encode_ack(seq, life, &mut buffer).unwrap();
            assert_eq!(decode_ack(&buffer[..length]), Some((seq, life)));
        }
        assert_eq!(decode_ack(b"12"), Some((12, 0)));
        for wrong in [
            "",
            "+1",
            "-1",
            " 1",
            "1\n",
            "1.0",
            "4294967296",
            "x",
            "1 ",
            "1  2",
            "1 +2",
            "1 -2",
            "1 2 3",
            "1 65536",
        ] {
            assert_eq!(decode_ack(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
