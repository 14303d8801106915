//! Whatever is encoded decodes to the same; whatever arrives is decoded or refused.

use aldis_protocol::topic::{self, Topic, Topics};
use aldis_protocol::{
    BufferTooSmall, Climate, Diag, Dropped, Mode, Reading, Reconnects, ResetReason, decode_ack,
    encode_ack, encode_readout,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

prop_compose! {
    fn climates()(
        seq: u32,
        boot: u32,
        taken: Option<u32>,
        age_ms: u64,
        t: i16,
        h: u16,
    ) -> Climate {
        Climate { seq, boot, taken, age_ms, reading: Reading { t, h } }
    }
}

prop_compose! {
    fn diags()(
        uptime_s in any::<Option<u64>>(),
        counters in proptest::collection::vec(any::<Option<u32>>(), 15),
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
            }),
            mode,
            version,
        }
    }
}

/// Encodes, and checks that exactly the length given is needed.
fn encode(encode: impl Fn(&mut [u8]) -> Result<usize, BufferTooSmall>) -> Vec<u8> {
    let mut buffer = [0; 512];
    let length = encode(&mut buffer).unwrap();
    let mut exact = vec![0; length];
    assert_eq!(encode(&mut exact), Ok(length));
    for shorter in 0..length {
        assert_eq!(encode(&mut exact.clone()[..shorter]), Err(BufferTooSmall));
    }
    exact
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
    fn ack(seq: u32) {
        prop_assert_eq!(decode_ack(&encode(|buffer| encode_ack(seq, buffer))), Some(seq));
    }

    /// The readout differs from floating point's.
    #[test]
    fn readout(t in -9999..=9999i16, h in 0..=9999u16) {
        let payload = encode(|buffer| encode_readout(Reading { t, h }, buffer));
        let (celsius, percent) = (f64::from(t) / 10.0, f64::from(h) / 10.0);
        let expected = format!("t={celsius:3.1}C, h={percent:3.1}%.");
        prop_assert_eq!(std::str::from_utf8(&payload), Ok(&*expected));
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
