//! Whatever is encoded decodes to the same; whatever arrives is decoded or refused.

use aldis_protocol::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN, text_len, valid_message_id};
use aldis_protocol::topic::{self, Topic, Topics};
use aldis_protocol::{
    Answer, BufferTooSmall, Climate, Diag, Dropped, LampCommand, Message, MessageReport,
    MessageState, Mode, MorseHeard, MorseSet, Priority, Reading, Reason, Reconnects, Refused,
    ResetReason, Scratch, decode_ack, decode_command, decode_restart, encode_ack, encode_command,
    encode_readout, encode_restart,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

prop_compose! {
    fn climates()(
        seq: u32,
        life: u16,
        boot: u32,
        taken: Option<u32>,
        age_ms: u64,
        t: i16,
        h: u16,
    ) -> Climate {
        Climate { seq, life, boot, taken, age_ms, reading: Reading { t, h } }
    }
}

prop_compose! {
    fn diags()(
        uptime_s in any::<Option<u64>>(),
        counters in proptest::collection::vec(any::<Option<u32>>(), 16),
        rssi_dbm in any::<Option<i8>>(),
        reset in option::of(select(ResetReason::ALL)),
        with_reconnects: bool,
        with_dropped: bool,
        mode in option::of(select(Mode::ALL)),
        version in option::of(select(vec!["", "0.1.0", "0.1.0-rc.1+ä"])),
    ) -> Diag<'static> {
        let c = counters;
        Diag {
            uptime_s,
            boot: c[0],
            reset,
            rssi_dbm,
            free: c[1],
            free_min: c[2],
            reconnects: with_reconnects.then_some(Reconnects {
                wifi: c[3],
                dhcp: c[4],
                dns: c[5],
                tcp: c[6],
                refused: c[7],
                silent: c[8],
                taken_over: c[9],
                broker: c[10],
            }),
            outbox: c[11],
            dropped: with_dropped.then_some(Dropped {
                expired: c[12],
                superseded: c[13],
                full: c[14],
                too_large: c[15],
            }),
            mode,
            version,
        }
    }
}

/// An id of a message.
fn message_ids() -> impl Strategy<Value = String> {
    "[^\\pC]{1,36}".prop_filter("too long", |id| valid_message_id(id))
}

/// A device id, as a sender has one.
fn senders() -> impl Strategy<Value = String> {
    "[^/+#\\s\\pC.]{1,16}"
}

/// As it is, or with escapes, as some programs write all that is not ASCII.
fn json(text: &str, escaped: bool) -> String {
    let units = text.encode_utf16();
    match escaped {
        true => units.map(|unit| format!("\\u{unit:04X}")).collect(),
        false => text.replace('\\', r"\\").replace('"', "\\\""),
    }
}

/// Encodes, and checks that exactly the length given is needed.
fn encode(encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let length = encode(&mut buffer).unwrap();
    let mut exact = vec![0; length];
    assert_eq!(encode(&mut exact), Ok(length));
    for shorter in 0..length {
        assert_eq!(encode(&mut exact.clone()[..shorter]), Err(BufferTooSmall));
    }
    exact
}

/// Decodes what has texts in it; what was understood keeps to the limits.
fn check_texts(payload: &[u8]) {
    let mut scratch = Scratch::new();
    let id = match Message::decode(payload, &mut scratch) {
        Ok(message) => {
            assert_eq!(message.check(), Ok(()));
            message.id
        }
        Err(refused) => refused.id,
    };
    assert!(id.is_none_or(valid_message_id));
    let id = match MorseSet::decode(payload, &mut scratch) {
        Ok(morse) => {
            assert!(morse.text.len() <= MAX_TEXT_LEN && morse.text.trim() == morse.text);
            morse.id
        }
        Err(refused) => refused.id,
    };
    assert!(id.is_none_or(valid_message_id));
    let (id, restarts) = decode_restart(payload, &mut scratch);
    let (id, restarts) = (id.map(String::from), restarts.is_ok());
    let (of_lamp, command) = decode_command(payload, &mut scratch);
    assert_eq!(id.as_deref(), of_lamp);
    assert!(!restarts || command.is_err());
    let (id, _) = decode_command(payload, &mut scratch);
    assert!(id.is_none_or(|id| id.len() <= MAX_MESSAGE_ID_LEN));
    let _ = MessageReport::decode(payload, &mut scratch);
    let _ = MorseHeard::decode(payload, &mut scratch);
    let _ = Answer::decode(payload, &mut scratch);
}

proptest! {
    /// A reading changes on its way.
    #[test]
    fn climate(climate in climates()) {
        let payload = encode(|buffer| climate.encode(buffer));
        prop_assert_eq!(Climate::decode(&payload), Ok(climate));
        for end in 0..payload.len() {
            prop_assert!(Climate::decode(&payload[..end]).is_err());
        }
    }

    /// A counter appears under another name.
    #[test]
    fn diag(diag in diags()) {
        let payload = encode(|buffer| diag.encode(buffer));
        prop_assert_eq!(Diag::decode(&payload), Ok(diag));
        for end in 0..payload.len() {
            prop_assert!(Diag::decode(&payload[..end]).is_err());
        }
    }

    /// A version with quotes breaks the object that it stands in.
    #[test]
    fn any_version_leaves_the_rest_readable(version: String, boot: u32) {
        let diag = Diag { boot: Some(boot), version: Some(&version), ..Diag::default() };
        let payload = encode(|buffer| diag.encode(buffer));
        let decoded = Diag::decode(&payload).unwrap();
        prop_assert_eq!(decoded.boot, Some(boot));
        prop_assert!(decoded.version.is_none_or(|decoded| decoded == version));
    }

    /// The acknowledged number changes on its way.
    #[test]
    fn ack(seq: u32, life: u16) {
        let written = encode(|buffer| encode_ack(seq, life, buffer));
        prop_assert_eq!(decode_ack(&written), Some((seq, life)));
    }

    /// The readout differs from floating point's.
    #[test]
    fn readout(t in -9999..=9999i16, h in 0..=9999u16) {
        let payload = encode(|buffer| encode_readout(Reading { t, h }, buffer));
        let (celsius, percent) = (f64::from(t) / 10.0, f64::from(h) / 10.0);
        let expected = format!("t={celsius:3.1}C, h={percent:3.1}%.");
        prop_assert_eq!(std::str::from_utf8(&payload), Ok(&*expected));
    }

    /// A message changes on its way, or is refused though it is a good one.
    #[test]
    fn message(
        id in option::of(message_ids()),
        from in option::of(senders()),
        text in "\\PC{1,300}",
        expires_s: Option<u32>,
        priority in select(Priority::ALL),
    ) {
        let (id, from) = (id.as_deref(), from.as_deref());
        let message = Message { id, from, text: &text, expires_s, priority };
        let mut scratch = Scratch::new();
        let payload = encode(|buffer| message.encode(buffer));
        let decoded = Message::decode(&payload, &mut scratch);
        match message.check() {
            Ok(()) => prop_assert_eq!(decoded, Ok(message)),
            Err(reason) => prop_assert_eq!(decoded, Err(Refused { id, reason })),
        }
        // The id comes first, so it is known wherever the rest is cut off.
        let known = id.map(|id| format!("{{\"id\":\"{}\"", json(id, false)).len());
        for end in 0..payload.len() {
            let refused = Message::decode(&payload[..end], &mut scratch).unwrap_err();
            prop_assert_eq!(refused.id, id.filter(|_| known.is_some_and(|len| end >= len)));
        }
    }

    /// A letter that another program escapes arrives as another one, or counts more.
    #[test]
    fn escapes_mean_what_they_stand_for(
        id in message_ids(),
        from in senders(),
        text in "\\PC{1,300}",
        escaped: [bool; 3],
    ) {
        let payload = format!(
            r#"{{"from":"{}","text":"{}","id":"{}"}}"#,
            json(&from, escaped[0]), json(&text, escaped[1]), json(&id, escaped[2]),
        );
        let message = Message {
            id: Some(&id),
            from: Some(&from),
            text: &text,
            ..Message::default()
        };
        let mut scratch = Scratch::new();
        let decoded = Message::decode(payload.as_bytes(), &mut scratch);
        match message.check() {
            Ok(()) => prop_assert_eq!(decoded, Ok(message)),
            Err(reason) => prop_assert_eq!(decoded, Err(Refused { id: Some(&id), reason })),
        }
    }

    /// What a device keeps is longer than it has room for, or empty, whatever was sent.
    #[test]
    fn what_was_taken_keeps_to_the_limits(
        text in "[\\PC\r\n\t\u{0}\u{7f}]{0,300}",
        escaped in option::of(any::<bool>()),
    ) {
        let payload = match escaped {
            Some(true) => format!(r#"{{"text":"{}"}}"#, json(&text, true)),
            _ => text.clone(),
        };
        let kept = text.replace('\r', "").replace('\t', " ");
        prop_assert_eq!(text_len(&text), kept.len());
        let mut scratch = Scratch::new();
        match Message::decode(payload.as_bytes(), &mut scratch) {
            Ok(message) => {
                prop_assert_eq!(message.text, kept);
                prop_assert_eq!(message.check(), Ok(()));
            }
            Err(Refused { reason: Reason::TooLong, .. }) => {
                prop_assert!(kept.len() > MAX_TEXT_LEN);
            }
            Err(Refused { reason: Reason::NoText, .. }) => prop_assert_eq!(kept.trim(), ""),
            Err(Refused { reason, .. }) => {
                prop_assert_eq!(reason, Reason::Malformed);
                prop_assert_eq!(payload.trim_start().get(..1), Some("{"));
            }
        }
    }

    /// A report is about another message, or says something else.
    #[test]
    fn report(
        id in option::of(message_ids()),
        state in select(MessageState::ALL),
        age_ms: u64,
        reason in option::of("\\PC{0,40}"),
    ) {
        let (id, reason) = (id.as_deref(), reason.as_deref());
        let report = MessageReport { id, state, age_ms, reason };
        let payload = encode(|buffer| report.encode(buffer));
        let mut scratch = Scratch::new();
        prop_assert_eq!(MessageReport::decode(&payload, &mut scratch), Ok(report));
        for end in 0..payload.len() {
            prop_assert!(MessageReport::decode(&payload[..end], &mut scratch).is_err());
        }
    }

    /// A lamp that was told something else, or an answer to another command.
    #[test]
    fn commands_and_answers(
        id in message_ids(),
        command in select(LampCommand::ALL),
        text in "\\PC{0,200}",
        wpm in option::of(5..=40u8),
        done: bool,
    ) {
        let mut scratch = Scratch::new();
        let payload = encode(|buffer| encode_restart(Some(&id), buffer));
        prop_assert_eq!(decode_restart(&payload, &mut scratch), (Some(&*id), Ok(())));
        for end in 0..payload.len() {
            prop_assert!(decode_restart(&payload[..end], &mut scratch).1.is_err());
        }
        let payload = encode(|buffer| encode_command(Some(&id), command, buffer));
        prop_assert_eq!(decode_command(&payload, &mut scratch), (Some(&*id), Ok(command)));
        for end in 0..payload.len() {
            prop_assert!(decode_command(&payload[..end], &mut scratch).1.is_err());
        }

        let morse = MorseSet { id: Some(&id), text: text.trim(), wpm };
        let payload = encode(|buffer| morse.encode(buffer));
        match MorseSet::decode(&payload, &mut scratch) {
            Ok(decoded) => prop_assert_eq!(decoded, morse),
            Err(refused) => {
                prop_assert_eq!(refused, Refused { id: Some(&id), reason: Reason::TooLong });
                prop_assert!(text.len() > MAX_TEXT_LEN);
            }
        }

        let outcome = if done { Ok(()) } else { Err("it's \"busy\"") };
        let answer = Answer { id: Some(&id), outcome };
        let payload = encode(|buffer| answer.encode(buffer));
        prop_assert_eq!(Answer::decode(&payload, &mut scratch), Ok(answer));
        for end in 0..payload.len() {
            prop_assert!(Answer::decode(&payload[..end], &mut scratch).is_err());
        }
    }

    /// What was keyed is reported as something else.
    #[test]
    fn heard(text in "[A-Z0-9 .,?\"\\\\-]{0,100}", wpm: u8) {
        let heard = MorseHeard { text: &text, wpm };
        let payload = encode(|buffer| heard.encode(buffer));
        let mut scratch = Scratch::new();
        prop_assert_eq!(MorseHeard::decode(&payload, &mut scratch), Ok(heard));
    }

    /// A device's topic that the hub does not recognise.
    #[test]
    fn topics(
        prefix in "[a-z]{1,8}(/[a-zä]{1,8}){0,3}",
        id in "[^/+#\\s\\pC.]{1,16}",
        topic in select(&Topic::ALL[..]),
    ) {
        let mut buffer = [0; topic::MAX_LEN];
        let topics = Topics::new(&prefix, &id).unwrap();
        let name = topics.write(topic, &mut buffer).unwrap();
        prop_assert_eq!(Topic::parse(&prefix, name), Some((&*id, topic)));
        prop_assert_eq!(topics.parse(name), Some(topic));
    }

    /// Anybody may publish anything.
    #[test]
    fn garbage_is_refused_without_panic(
        payload: Vec<u8>,
        soup in "[{}\\[\\]\":,\\\\u0-9a-z+.eE -]{0,60}",
        text: String,
    ) {
        for bytes in [&payload, soup.as_bytes(), text.as_bytes()] {
            let _ = Climate::decode(bytes);
            let _ = Diag::decode(bytes);
            let _ = decode_ack(bytes);
            check_texts(bytes);
            // What begins with a brace goes another way.
            check_texts(&[b"{\"text\":\"", bytes].concat());
            check_texts(&[b"{\"id\":\"x\",\"text\":\"x\",", bytes].concat());
        }
        let _ = Topic::parse("aldis", &text);
        let _ = Topic::parse("", &text);
        let _ = topic::check_id(&text);
    }

    /// One damaged byte that makes another reading of it is possible (a digit); a panic is not.
    #[test]
    fn damaged_climate_is_decoded_or_refused(climate in climates(), at: usize, byte: u8) {
        let mut payload = encode(|buffer| climate.encode(buffer));
        let at = at % payload.len();
        payload[at] = byte;
        let _ = Climate::decode(&payload);
        let _ = Diag::decode(&payload);
    }
}
