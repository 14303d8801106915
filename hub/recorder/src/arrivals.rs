//! From messages of the broker to what is stored.

use std::ops::RangeInclusive;

use aldis_client::Message;
use aldis_history::{Answer, Arrival, DeviceKey, Diag, NotAReading, Report, Taken, What};
use aldis_protocol::{
    Availability, Climate, Lamp, MessageReport, MorseHeard, Scratch, SensorState, Topic,
};

/// Which topics of a device are recorded, and whether recorders may share them. States are for
/// each: what the broker keeps of them is sent to no shared subscription.
pub(crate) const TOPICS: [(Topic, bool); 9] = [
    (Topic::Climate, true),
    (Topic::Diag, true),
    (Topic::MessageSet, true),
    (Topic::MessageState, true),
    (Topic::Answer, true),
    (Topic::MorseHeard, true),
    (Topic::Led, false),
    (Topic::Sensor, false),
    (Topic::Status, false),
];

/// How long nothing waits for a recorder, in seconds: longer than the broker keeps its session.
const WAITED_S: u32 = 35 * 24 * 60 * 60;

/// What a DHT22 can measure, in tenths of a degree and of a percent (its data sheet: -40 to 80 °C,
/// 0 to 100 %).
const TEMPERATURE: RangeInclusive<i16> = -400..=800;
const HUMIDITY: RangeInclusive<u16> = 0..=1_000;

/// What the time of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// When it came, in milliseconds since 1970.
    pub received_ms: i64,
    /// It may have waited at the broker, nobody knows how long.
    pub late: bool,
}

/// Why a message is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It is not about a device, or was kept by the broker and is no state.
    Other,
    /// It cannot be read.
    Unreadable,
}

/// What a message says. `life` is the one that the device was last heard in.
pub(crate) fn arrival(
    prefix: &str,
    message: &Message,
    came: Came,
    life: impl FnOnce(&DeviceKey) -> u32,
) -> Result<Arrival, Passed> {
    let (id, topic) = Topic::parse(prefix, &message.topic).ok_or(Passed::Other)?;
    let is_state = matches!(topic, Topic::Led | Topic::Sensor | Topic::Status);
    if message.retain && !is_state {
        return Err(Passed::Other);
    }
    let device = DeviceKey::new(prefix, id).map_err(|_| Passed::Other)?;
    let Came { received_ms, late } = came;
    let before =
        |age_ms: u64| received_ms.saturating_sub(i64::try_from(age_ms).unwrap_or(i64::MAX));
    let payload = &message.payload[..];
    let mut scratch = Scratch::new();
    let what = match topic {
        Topic::Climate => {
            let climate = match reading(payload) {
                Ok(climate) => climate,
                Err(why) => {
                    let said = NotAReading {
                        why,
                        payload: String::from_utf8_lossy(payload).into_owned(),
                        passed_over: 0,
                    };
                    return Ok(Arrival {
                        device,
                        received_ms,
                        received: Some(message.received),
                        what: What::NotAReading(said),
                    });
                }
            };
            // The seconds are whole ones: a broker may take one off what it passes on at once. And
            // what seems longer than the session was kept is a broker's bound on expiry.
            let waited_s = Climate::waited_s(message.expiry_s).filter(|waited| *waited < WAITED_S);
            let at_once = !late && !message.dup && waited_s.is_some_and(|waited| waited <= 2);
            let waited_s = if at_once { Some(0) } else { waited_s };
            let waited_ms = u64::from(waited_s.unwrap_or(0)) * 1_000;
            let known = waited_s.is_some() || !(late || message.dup);
            What::Reading(Taken {
                life: climate.life.into(),
                seq: climate.seq,
                boot: climate.taken.unwrap_or(climate.boot),
                taken_ms: before(climate.age_ms.saturating_add(waited_ms)),
                exact: known && climate.taken.is_none(),
                reading: climate.reading,
            })
        }
        Topic::Led => What::Led(Lamp::decode(payload).ok_or(Passed::Unreadable)?),
        Topic::Sensor => What::Sensor(SensorState::decode(payload).ok_or(Passed::Unreadable)?),
        Topic::Status => What::Status(Availability::decode(payload).ok_or(Passed::Unreadable)?),
        Topic::Diag => {
            let diag = aldis_protocol::Diag::decode(payload).map_err(|_| Passed::Unreadable)?;
            let body = std::str::from_utf8(payload).map_err(|_| Passed::Unreadable)?;
            What::Diag(Box::new(Diag::of(life(&device), &diag, body)))
        }
        Topic::MessageSet => {
            let said = aldis_protocol::Message::decode(payload, &mut scratch)
                .map_err(|_| Passed::Unreadable)?;
            What::Message(aldis_history::Message {
                id: said.id.map(str::to_owned),
                from: said.from.map(str::to_owned),
                text: said.text.to_owned(),
            })
        }
        Topic::MessageState => {
            let report =
                MessageReport::decode(payload, &mut scratch).map_err(|_| Passed::Unreadable)?;
            What::MessageState(Report {
                id: report.id.map(str::to_owned),
                state: report.state,
                at_ms: before(report.age_ms),
                reason: report.reason.map(str::to_owned),
            })
        }
        Topic::Answer => {
            let answer = aldis_protocol::Answer::decode(payload, &mut scratch)
                .map_err(|_| Passed::Unreadable)?;
            What::Answer(Answer {
                id: answer.id.map(str::to_owned),
                done: answer.outcome.is_ok(),
                reason: answer.outcome.err().map(str::to_owned),
            })
        }
        Topic::MorseHeard => {
            let heard =
                MorseHeard::decode(payload, &mut scratch).map_err(|_| Passed::Unreadable)?;
            What::Morse {
                text: heard.text.to_owned(),
                wpm: heard.wpm,
            }
        }
        _ => return Err(Passed::Other),
    };
    Ok(Arrival {
        device,
        received_ms,
        received: Some(message.received),
        what,
    })
}

/// A reading, or why it is none.
fn reading(payload: &[u8]) -> Result<Climate, String> {
    let climate = Climate::decode(payload).map_err(|error| error.to_string())?;
    let measured = climate.reading;
    if !TEMPERATURE.contains(&measured.t) {
        let t = measured.temperature();
        return Err(format!("{t} °C is nothing that the sensor can measure"));
    }
    if !HUMIDITY.contains(&measured.h) {
        let h = measured.humidity();
        return Err(format!("{h} % is nothing that the sensor can measure"));
    }
    Ok(climate)
}

#[cfg(test)]
mod tests {
    use aldis_client::QoS;
    use aldis_protocol::Reading;
    use tokio::time::Instant;

    use super::*;

    const NOON: i64 = 1_790_000_000_000;

    fn message(topic: &str, payload: &str) -> Message {
        Message {
            topic: topic.to_owned(),
            payload: payload.as_bytes().to_vec(),
            qos: QoS::AtLeastOnce,
            retain: false,
            dup: false,
            expiry_s: None,
            received: Instant::now(),
            token: None,
        }
    }

    fn read(message: &Message, late: bool) -> Result<What, Passed> {
        let came = Came {
            received_ms: NOON,
            late,
        };
        arrival("aldis", message, came, |_| 7).map(|arrival| arrival.what)
    }

    fn reading(message: &Message, late: bool) -> (i64, bool) {
        match read(message, late).unwrap() {
            What::Reading(taken) => (NOON - taken.taken_ms, taken.exact),
            other => panic!("{other:?}"),
        }
    }

    /// A reading made in an outage would stand where it was delivered.
    #[test]
    fn readings_land_where_they_belong() {
        let mut of = message(
            "aldis/kitchen/climate",
            r#"{"seq":8,"boot":2,"age_ms":90000,"t":24.1,"h":26.5,"life":5}"#,
        );
        assert_eq!(reading(&of, false), (90_000, true));
        // It may have waited at the broker.
        assert_eq!(reading(&of, true), (90_000, false));
        of.dup = true;
        assert_eq!(reading(&of, false), (90_000, false));
        // It did, and the broker says for how long.
        of.expiry_s = Some(Climate::EXPIRY_S - 60);
        assert_eq!(reading(&of, true), (150_000, true));
        // One that came at once, of which a second was taken off.
        of.dup = false;
        of.expiry_s = Some(Climate::EXPIRY_S - 1);
        assert_eq!(reading(&of, false), (90_000, true));
        assert_eq!(reading(&of, true), (91_000, true));
        // Somebody else's expiry says nothing about waiting.
        of.expiry_s = Some(u32::MAX);
        of.dup = false;
        assert_eq!(reading(&of, true), (90_000, false));
        // Nor does what a broker allows at most.
        of.expiry_s = Some(86_400);
        assert_eq!(reading(&of, true), (90_000, false));
        assert_eq!(reading(&of, false), (90_000, true));
        // Nobody knows how long the device was off.
        let off = message(
            "aldis/kitchen/climate",
            r#"{"seq":8,"boot":2,"taken":1,"age_ms":10,"t":-4.1,"h":26.5}"#,
        );
        assert_eq!(reading(&off, false), (10, false));
        let What::Reading(taken) = read(&off, false).unwrap() else {
            panic!();
        };
        assert_eq!((taken.life, taken.seq, taken.boot), (0, 8, 1));
        assert_eq!(taken.reading, Reading { t: -41, h: 265 });
    }

    /// Garbage must neither stop the recorder nor become history.
    #[test]
    fn what_cannot_be_read_is_passed_over() {
        for (topic, payload) in [
            ("led", "ON"),
            ("sensor", ""),
            ("status", "gone"),
            ("diag", "[]"),
            ("message/set", r#"{"text":7}"#),
            ("message/state", "read"),
            ("answer", "{}"),
            ("morse/heard", "SOS"),
        ] {
            let of = message(&format!("aldis/kitchen/{topic}"), payload);
            assert_eq!(read(&of, false), Err(Passed::Unreadable), "{topic}");
        }
        for topic in [
            "aldis/kitchen",
            "aldis/kitchen/led/set",
            "aldis/kitchen/start",
            "other/kitchen/led",
            "aldis/a b/led",
        ] {
            assert_eq!(read(&message(topic, "on"), false), Err(Passed::Other));
        }
    }

    /// Numbers that somebody made up stand among the readings, or vanish without a word.
    #[test]
    fn what_cannot_be_a_reading_is_kept_apart() {
        let of = |life: &str, t: &str, h: &str| {
            format!(r#"{{"seq":1,"boot":1,"age_ms":0,"t":{t},"h":{h},"life":{life}}}"#)
        };
        for (payload, why) in [
            ("{".to_owned(), ""),
            (r#"{"seq":1}"#.to_owned(), "boot"),
            ("\0\u{feff}".to_owned(), ""),
            (of("65536", "24.1", "26.5"), "life"),
            (of("7", "-40.1", "26.5"), "-40.1 °C"),
            (of("7", "80.1", "26.5"), "80.1 °C"),
            (of("7", "24.1", "100.1"), "100.1 %"),
            (of("7", "24.1", "-0.1"), "h"),
        ] {
            let said = read(&message("aldis/kitchen/climate", &payload), false);
            let Ok(What::NotAReading(said)) = said else {
                panic!("{payload}: {said:?}");
            };
            assert_eq!((said.payload, said.passed_over), (payload, 0));
            assert!(
                !said.why.is_empty() && said.why.contains(why),
                "{}",
                said.why
            );
        }
        for (t, h) in [("-40", "0"), ("80", "100")] {
            let said = read(&message("aldis/kitchen/climate", &of("65535", t, h)), false);
            assert!(matches!(said, Ok(What::Reading(_))), "{said:?}");
        }
    }

    /// Each start of the recorder would repeat what somebody had retained.
    #[test]
    fn only_states_are_taken_from_what_the_broker_kept() {
        for (topic, payload, taken) in [
            ("led", "on", true),
            ("status", "offline", true),
            ("sensor", "ok", true),
            ("message/set", "hello", false),
            ("morse/heard", r#"{"text":"E","wpm":9}"#, false),
        ] {
            let mut of = message(&format!("aldis/kitchen/{topic}"), payload);
            assert!(read(&of, false).is_ok(), "{topic}");
            of.retain = true;
            assert_eq!(read(&of, false).is_ok(), taken, "{topic}");
        }
    }

    /// Health would be told of the wrong life, and a state at the wrong time.
    #[test]
    fn what_is_about_a_device_is_read() {
        let diag = message("aldis/kitchen/diag", r#"{"uptime_s":60,"boot":1}"#);
        let Ok(What::Diag(diag)) = read(&diag, false) else {
            panic!();
        };
        assert_eq!((diag.life, diag.boot, diag.uptime_s), (7, 1, Some(60)));
        let report = message(
            "aldis/kitchen/message/state",
            r#"{"id":"7","state":"read","age_ms":2000}"#,
        );
        let Ok(What::MessageState(report)) = read(&report, false) else {
            panic!();
        };
        assert_eq!(report.at_ms, NOON - 2_000);
        let answer = message(
            "aldis/kitchen/answer",
            r#"{"id":"7","done":false,"reason":"no"}"#,
        );
        let expected = What::Answer(Answer {
            id: Some("7".to_owned()),
            done: false,
            reason: Some("no".to_owned()),
        });
        assert_eq!(read(&answer, false), Ok(expected));
    }
}
