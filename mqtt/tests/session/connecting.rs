//! Being accepted, being refused, falling back, stopping and starting.

use crate::common::raw::{CONNACK, CONNACK_PRESENT, CONNACK_V4, CONNACK_V4_PRESENT, Raw};
use crate::common::{End, Rig, Seen, Setup, at, leak, options};
use aldis_mqtt::wire::{Fault, Properties, Property};
use aldis_mqtt::{
    Buffers, Cause, CleanStart, Network, Options, OptionsError, Publication, PublishError, QoS,
    ReasonCode, Session, Transport, Version, Versions, Will,
};
use aldis_world::broker::codec::{Packet, PacketType, reason};
use aldis_world::broker::{Config, Keep};

use QoS::{AtLeastOnce as One, AtMostOnce as Zero, ExactlyOnce as Two};

const BOTH: [Version; 2] = [Version::V4, Version::V5];

fn level(connect: &[u8]) -> u8 {
    connect[8]
}

/// The flags of a CONNECT.
fn flags(connect: &[u8]) -> u8 {
    connect[9]
}

#[test]
fn every_refusal_is_reported_and_tried_again() {
    let v4 = (1..=5).map(|code| (Version::V4, code));
    let v5 = (0x80..=0xa2).map(|code| (Version::V5, code));
    for (version, code) in v4.chain(v5) {
        let mut raw = Raw::new(options(version));
        for _ in 0..3 {
            raw.open();
            raw.sent();
            let (bytes, told): (&[u8], u8) = match version {
                Version::V4 => (
                    &[0x20, 2, 0, code],
                    [0x84, 0x85, 0x88, 0x86, 0x87][usize::from(code) - 1],
                ),
                Version::V5 => (&[0x20, 3, 0, code, 0], code),
            };
            let refused = Cause::Refused(ReasonCode(told));
            assert_eq!(raw.receive(bytes), [Seen::Disconnected(refused)]);
            assert_eq!(raw.session.transport(), Transport::Closed);
            assert!(!refused.to_string().is_empty());
        }
        raw.connect(match version {
            Version::V4 => CONNACK_V4,
            Version::V5 => CONNACK,
        });
        assert!(raw.session.is_connected(), "{version:?} {code}");
        assert_eq!(raw.session.version(), version);
    }
}

#[test]
fn a_refusal_brings_the_words_of_the_broker() {
    let mut raw = Raw::new(options(Version::V5));
    raw.open();
    raw.sent();
    raw.arrive(&[0x20, 8, 0, 0x87, 5, 0x1f, 0, 2, b'n', b'o']);
    match raw.session.poll(at(0)) {
        Some(aldis_mqtt::Event::Disconnected { cause, properties }) => {
            assert_eq!(cause, Cause::Refused(ReasonCode::NOT_AUTHORIZED));
            assert_eq!(properties.reason_string(), Some("no"));
        }
        other => panic!("{other:?}"),
    }
    let mut raw = Raw::connected(Version::V5);
    raw.arrive(&[0xe0, 7, 0x8b, 5, 0x1f, 0, 2, b'b', b'y']);
    match raw.session.poll(at(0)) {
        Some(aldis_mqtt::Event::Disconnected { properties, .. }) => {
            assert_eq!(properties.reason_string(), Some("by"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_acceptance_brings_the_properties_of_the_broker() {
    let mut raw = Raw::new(options(Version::V5));
    raw.open();
    raw.sent();
    raw.arrive(&[0x20, 8, 0, 0, 5, 0x1a, 0, 2, b'i', b'n']);
    match raw.session.poll(at(0)) {
        Some(aldis_mqtt::Event::Connected { properties, .. }) => {
            let all: Vec<_> = properties.iter().collect();
            assert_eq!(all, [Property::ResponseInformation("in")]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_broker_of_one_version_is_found() {
    for only in BOTH {
        let spoken = match only {
            Version::V4 => aldis_world::broker::codec::Version::V4,
            Version::V5 => aldis_world::broker::codec::Version::V5,
        };
        let mut setup = Setup::with(Options::new("client"));
        setup.config.versions = aldis_world::broker::Versions::Only(spoken);
        let mut rig = setup.connected();
        assert_eq!(rig.session.version(), only);
        rig.send("t", b"x", Two);
        assert!(rig.until(1_000, Rig::all_ended));
        // It may be exchanged for one of the other version, and back.
        for other in [false, true, false, true] {
            let versions = match (spoken, other) {
                (aldis_world::broker::codec::Version::V4, false) => {
                    aldis_world::broker::codec::Version::V5
                }
                (aldis_world::broker::codec::Version::V5, false) => {
                    aldis_world::broker::codec::Version::V4
                }
                (same, true) => same,
            };
            rig.broker.config_mut().versions = aldis_world::broker::Versions::Only(versions);
            rig.broker.restart(Keep::Nothing, rig.now);
            rig.send("t", b"y", Two);
            assert!(rig.until(600_000, Rig::all_ended), "{:?}", rig.seen);
        }
    }
}

#[test]
fn a_broker_falls_back_in_any_way_it_may_refuse() {
    let ways: [&[u8]; 5] = [
        // In the shape of MQTT 3.1.1, in that of 5, garbage, success in the wrong shape.
        &[0x20, 2, 0, 1],
        &[0x20, 3, 0, 0x84, 0],
        &[0x00, 0],
        &[0x20, 2, 0, 0],
        // AUTH, which nobody asked for.
        &[0xf0, 0],
    ];
    for way in ways {
        let mut raw = Raw::new(Options::new("c"));
        assert_eq!(raw.session.version(), Version::V5);
        raw.open();
        assert_eq!(level(&raw.sent()), 5);
        raw.receive(way);
        raw.open();
        assert_eq!(level(&raw.sent()), 4, "{way:x?}");
        raw.receive(CONNACK_V4);
        assert!(raw.session.is_connected());
        assert_eq!(raw.session.version(), Version::V4);
    }
    // Or closes without a word.
    let mut raw = Raw::new(Options::new("c"));
    raw.open();
    raw.sent();
    raw.session.failed(Network::Closed, at(raw.now));
    raw.open();
    assert_eq!(level(&raw.sent()), 4);
    // A broker of MQTT 5 answers in its own way.
    raw.receive(&[0x20, 3, 0, 0x84, 0]);
    raw.open();
    assert_eq!(level(&raw.sent()), 5);
}

#[test]
fn the_version_stays_when_nothing_was_said_about_it() {
    let mut raw = Raw::new(Options::new("c"));
    let network = [Network::Reset, Network::Unreachable, Network::Dns];
    for network in network {
        raw.open();
        assert_eq!(level(&raw.sent()), 5);
        raw.session.failed(network, at(raw.now));
    }
    raw.open();
    assert_eq!(level(&raw.sent()), 5);
    raw.receive(&[0x20, 3, 0, 0x86, 0]);
    raw.open();
    assert_eq!(
        level(&raw.sent()),
        5,
        "a wrong password is no wrong version"
    );
    raw.receive(CONNACK);
    raw.session.failed(Network::Closed, at(raw.now));
    raw.open();
    assert_eq!(level(&raw.sent()), 5);
}

#[test]
fn a_version_that_was_chosen_is_kept() {
    for version in BOTH {
        let mut raw = Raw::new(options(version));
        for _ in 0..3 {
            raw.open();
            assert_eq!(level(&raw.sent()), version.level());
            raw.receive(&[0x20, 2, 0, 1]);
        }
    }
}

#[test]
fn authentication_that_nobody_began_ends_the_connection() {
    let mut raw = Raw::connected(Version::V5);
    raw.receive(&[0xf0, 2, 0x18, 0]);
    assert_eq!(raw.sent(), [0xe0, 1, 0x82]);
    assert_eq!(
        raw.events(),
        [Seen::Disconnected(Cause::Protocol(Fault::Protocol))]
    );
    // It cannot be asked for either.
    let method = [Property::AuthenticationMethod("SCRAM")];
    let asked = Options {
        properties: Box::leak(Box::new(method)),
        ..options(Version::V5)
    };
    let refused = Session::new(
        asked,
        Buffers::new(
            leak(256),
            leak(256),
            vec![aldis_mqtt::Slot::EMPTY; 64].leak(),
        ),
        1,
        at(0),
    );
    assert_eq!(refused.err(), Some(OptionsError::InvalidProperty));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let fits = |options: Options<'static>, size: usize| {
        Session::new(
            options,
            Buffers::new(
                leak(size),
                leak(256),
                vec![aldis_mqtt::Slot::EMPTY; 64].leak(),
            ),
            1,
            at(0),
        )
        .err()
    };
    let base = Options::new("client");
    assert_eq!(fits(base, 64), None);
    assert_eq!(fits(base, 20), Some(OptionsError::ConnectTooLarge));
    assert_eq!(fits(base, 0), Some(OptionsError::ConnectTooLarge));
    let id = Options {
        client_id: "a\0",
        ..base
    };
    assert_eq!(fits(id, 64), Some(OptionsError::InvalidClientId));
    let password = Options {
        password: Some(b"p"),
        ..base
    };
    assert_eq!(
        fits(password, 64),
        Some(OptionsError::PasswordWithoutUsername)
    );
    let v5 = Options {
        versions: Versions::Only(Version::V5),
        ..password
    };
    assert_eq!(fits(v5, 64), None);
    let will = |topic| {
        let properties = Properties::NONE;
        let will = Will {
            topic,
            payload: b"",
            qos: Zero,
            retain: false,
            properties,
        };
        fits(
            Options {
                will: Some(will),
                ..base
            },
            64,
        )
    };
    assert_eq!(will("t"), None);
    assert_eq!(will(""), Some(OptionsError::InvalidWill));
    assert_eq!(will("a/#"), Some(OptionsError::InvalidWill));
    let user = Options {
        properties: &[Property::UserProperty("a", "b")],
        ..base
    };
    assert_eq!(fits(user, 64), None);
    let ours = Options {
        properties: &[Property::ReceiveMaximum(3)],
        ..base
    };
    assert_eq!(fits(ours, 64), Some(OptionsError::InvalidProperty));
}

#[test]
fn the_keep_alive_of_the_broker_counts() {
    let mut setup = Setup::new(Version::V5);
    setup.config.server_keep_alive = Some(5);
    let mut rig = setup.connected();
    rig.packets();
    rig.advance(60_000);
    let pings = rig
        .packets()
        .iter()
        .filter(|p| **p == Packet::PingReq)
        .count();
    assert_eq!(pings, 12);
    assert_eq!(rig.causes(), []);
    // The next connection may go back to ours.
    rig.broker.config_mut().server_keep_alive = None;
    rig.sever();
    rig.connect();
    rig.packets();
    rig.advance(30_000);
    assert_eq!(rig.packets().len(), 2);
}

#[test]
fn no_keep_alive_means_no_ping() {
    for version in BOTH {
        let mut rig = Setup::with(Options {
            keep_alive_s: 0,
            ..options(version)
        })
        .connected();
        rig.packets();
        rig.advance(1_000_000);
        assert_eq!(rig.packets(), []);
        assert_eq!(rig.causes(), []);
    }
}

#[test]
fn an_assigned_client_id_is_used_again() {
    for id in [&b"abc"[..], b"a"] {
        let mut raw = Raw::new(Options {
            client_id: "",
            ..options(Version::V5)
        });
        let len = id.len() as u8;
        let connack = [&[0x20, 6 + len, 0, 0, 3 + len, 0x12, 0, len], id].concat();
        let first = raw.connect(&connack);
        assert!(first.ends_with(&[0, 0]));
        raw.cut();
        let second = raw.connect(&[0x20, 3, 1, 0, 0]);
        let expected = [&[0, len], id].concat();
        assert!(second.ends_with(&expected), "{second:x?}");
        assert_eq!(flags(&second) & 2, 0, "and the session resumed");
        assert!(raw.session.is_connected());
        // It does not count as a publication.
        assert_eq!(raw.session.pending(), 0);
        assert_eq!(raw.sent(), []);
    }
}

#[test]
fn an_assigned_client_id_holds_the_session() {
    let mut rig = Setup::with(Options {
        client_id: "",
        ..options(Version::V5)
    })
    .connected();
    rig.subscribe("in", Two);
    rig.settle();
    for _ in 0..3 {
        rig.sever();
        rig.connect();
        rig.other("in", b"x", Two);
    }
    assert_eq!(rig.messages().count(), 3);
    assert_eq!(rig.broker.client_of(rig.conn()), Some("auto-1"));
}

#[test]
fn the_first_connection_starts_clean_and_later_ones_resume() {
    let mut raw = Raw::new(options(Version::V5));
    for _ in 0..2 {
        raw.open();
        assert_eq!(flags(&raw.sent()), 2, "not accepted yet");
        raw.cut();
    }
    assert_eq!(flags(&raw.connect(CONNACK)), 2);
    for _ in 0..2 {
        raw.cut();
        assert_eq!(flags(&raw.connect(CONNACK_PRESENT)), 0);
    }
    for (clean_start, flag) in [(CleanStart::Always, 2), (CleanStart::Never, 0)] {
        let mut raw = Raw::new(Options {
            clean_start,
            ..options(Version::V5)
        });
        for _ in 0..3 {
            assert_eq!(flags(&raw.connect(CONNACK)), flag);
            raw.cut();
        }
    }
}

#[test]
fn a_session_that_was_to_be_thrown_away_must_not_be_present() {
    let mut raw = Raw::new(options(Version::V5));
    raw.open();
    raw.sent();
    let lost = Seen::Disconnected(Cause::Protocol(Fault::Protocol));
    assert_eq!(raw.receive(CONNACK_PRESENT), [lost]);
}

/// A broker that waits for the end of an exchange of an earlier life at QoS 2 takes a new
/// publication with its packet id for that one, and does not pass it on.
#[test]
fn packet_ids_of_a_session_that_is_resumed_begin_anywhere() {
    let mut first = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let options = Options {
            clean_start: CleanStart::Never,
            ..options(Version::V4)
        };
        let mut raw = Raw::seeded(options, seed * 0x9e37_79b9, 0);
        raw.connect(CONNACK_V4_PRESENT);
        raw.publish("t", Two);
        let sent = raw.sent();
        let [0x34, 6, 0, 1, b't', high, low, b'x'] = sent[..] else {
            panic!("{sent:?}");
        };
        first.insert([high, low]);
    }
    assert!(first.len() > 15, "{first:?}");
}

#[test]
fn a_session_of_an_earlier_life_is_purged_in_3_1_1() {
    let mut raw = Raw::new(options(Version::V4));
    // It is found, thrown away by a clean connection, and begun anew by a third.
    let id = raw.publish("t", One);
    assert_eq!(flags(&raw.connect(CONNACK_V4_PRESENT)), 0);
    assert_eq!(raw.sent(), [0xe0, 0], "nothing is published there");
    raw.events();
    assert_eq!(flags(&raw.connect(CONNACK_V4)), 2);
    assert_eq!(raw.sent(), [0xe0, 0], "nor there");
    raw.events();
    assert_eq!(flags(&raw.connect(CONNACK_V4)), 0);
    assert!(raw.session.is_connected());
    assert_eq!(raw.sent(), [0x32, 6, 0, 1, b't', 0, 1, b'x']);
    assert_eq!(
        raw.receive(&[0x40, 2, 0, 1]),
        [Seen::Delivered(id, ReasonCode::SUCCESS)]
    );
    // From then on it is ours.
    raw.cut();
    assert_eq!(flags(&raw.connect(CONNACK_V4_PRESENT)), 0);
    assert!(raw.session.is_connected());
}

#[test]
fn a_purge_that_is_cut_off_is_made_again() {
    let mut rig = Setup::new(Version::V4).connected();
    rig.subscribe("stale", One);
    rig.settle();
    let broker = rig.broker;
    let mut rig = Setup::new(Version::V4).rig();
    rig.broker = broker;
    rig.broker.restart(Keep::Everything, 0);
    // Each of the first connections breaks somewhere.
    for after in [20, 25, 41, 44, 60, 70] {
        rig.cut = Some(crate::common::Cut {
            up: true,
            after,
            forget: false,
            again: false,
        });
        rig.until(60_000, |rig| rig.cut.is_none());
    }
    rig.connect();
    assert_eq!(rig.broker.session("client").unwrap().subscriptions, []);
}

#[test]
fn stopping_says_goodbye_and_the_will_is_not_published() {
    for version in BOTH {
        let will = Will {
            topic: "status",
            payload: b"offline",
            qos: One,
            retain: true,
            properties: Properties::NONE,
        };
        let setup = || {
            Setup::with(Options {
                will: Some(will),
                ..options(version)
            })
        };
        let mut rig = setup().connected();
        rig.session.stop(at(rig.now));
        assert!(!rig.session.is_stopped(), "DISCONNECT is to be sent first");
        rig.settle();
        assert!(rig.session.is_stopped());
        assert_eq!(rig.causes(), [Cause::Stopped]);
        assert!(rig.broker.retained("status").is_none());
        rig.advance(10_000_000);
        assert_eq!(rig.attempts.len(), 1, "it stays stopped");
        rig.session.start(at(rig.now));
        rig.connect();
        assert_eq!(rig.attempts.len(), 2);
        // A lost connection is another thing.
        rig.sever();
        assert_eq!(rig.broker.retained("status").unwrap().payload, b"offline");
    }
}

#[test]
fn stopping_works_at_any_moment() {
    let moments: [&dyn Fn(&mut Raw); 5] = [
        &|_| {},
        &|raw| {
            raw.events();
        },
        &|raw| raw.open(),
        &|raw| {
            raw.open();
            raw.sent();
        },
        &|raw| {
            raw.open();
            raw.cut();
        },
    ];
    for (index, moment) in moments.into_iter().enumerate() {
        let mut raw = Raw::new(options(Version::V5));
        moment(&mut raw);
        raw.session.stop(at(raw.now));
        assert!(raw.session.is_stopped(), "{index}");
        assert_eq!(raw.session.transport(), Transport::Closed);
        assert_eq!(
            raw.events().last(),
            Some(&Seen::Disconnected(Cause::Stopped))
        );
        assert_eq!(raw.wait(10_000_000), []);
        raw.session.start(at(raw.now));
        raw.connect(CONNACK);
        assert!(raw.session.is_connected(), "{index}");
    }
}

#[test]
fn stopping_ends_even_when_nothing_can_be_written() {
    let mut rig = Setup::new(Version::V5).connected();
    rig.stalled = true;
    rig.send("t", b"x", One);
    rig.settle();
    rig.session.stop(at(rig.now));
    rig.advance(10_000);
    assert!(rig.session.is_stopped());
    assert_eq!(rig.causes(), [Cause::Stopped]);
    // What was not delivered is still to be.
    rig.stalled = false;
    rig.session.start(at(rig.now));
    rig.connect();
    assert!(rig.until(1_000, Rig::all_ended));
}

#[test]
fn starting_before_the_stop_has_come_to_its_end_is_not_forgotten() {
    let mut rig = Setup::new(Version::V5).connected();
    rig.session.stop(at(rig.now));
    rig.session.start(at(rig.now));
    rig.connect();
    rig.advance(60_000);
    assert!(rig.session.is_connected(), "{:?}", rig.seen);
}

#[test]
fn stopping_while_a_packet_is_half_written_ends_the_packet_first() {
    let mut rig = Setup::new(Version::V5).connected();
    rig.allowance = Some(5);
    rig.send("topic", b"payload", One);
    rig.settle();
    rig.session.stop(at(rig.now));
    rig.allowance = None;
    rig.settle();
    assert_eq!(rig.broker.log().len(), 1);
    assert_eq!(
        rig.packets().last().map(Packet::packet_type),
        Some(PacketType::Disconnect)
    );
    assert_eq!(rig.causes(), [Cause::Stopped]);
}

#[test]
fn qos_0_is_for_the_present_connection() {
    let mut rig = Setup::new(Version::V5).rig();
    let publication = Publication::new("t", b"x");
    assert_eq!(rig.publish(&publication), Err(PublishError::NotConnected));
    rig.connect();
    rig.allowance = Some(0);
    rig.publish(&publication).unwrap();
    rig.publish(&publication).unwrap();
    assert_eq!(rig.session.pending(), 2);
    rig.sever();
    assert_eq!(rig.session.pending(), 0, "it is not kept");
    rig.allowance = None;
    rig.connect();
    assert!(rig.broker.log().is_empty());
    assert_eq!(rig.book[0].ends, [] as [End; 0]);
}

#[test]
fn a_wrong_password_is_told_and_mended_without_a_restart() {
    let config = Config {
        credentials: Some([("user".to_string(), b"other".to_vec())].into()),
        ..Config::default()
    };
    for (version, code) in [(Version::V4, 0x86), (Version::V5, reason::BAD_CREDENTIALS)] {
        let mut setup = Setup::with(Options {
            username: Some("user"),
            password: Some(b"secret"),
            ..options(version)
        });
        setup.config = config.clone();
        let mut rig = setup.rig();
        rig.advance(100_000);
        assert_eq!(rig.causes()[0], Cause::Refused(ReasonCode(code)));
        let mended = [("user".to_string(), b"secret".to_vec())].into();
        rig.broker.config_mut().credentials = Some(mended);
        rig.connect();
    }
}

/// With an id for which CONNECT has no room, no attempt could be made any more.
#[test]
fn an_assigned_client_id_that_does_not_fit_is_not_kept() {
    let options = Options {
        client_id: "",
        ..options(Version::V5)
    };
    let slots = vec![aldis_mqtt::Slot::EMPTY; 8].leak();
    for (room, kept) in [(64, false), (128, true)] {
        let slots = slots.to_vec().leak();
        let buffers = Buffers::new(leak(room), leak(256), slots);
        let mut raw = Raw::with_buffers(options, buffers);
        let id = b"auto-01234567-89AB-CDEF-0123-456789ABCDEF";
        let mut connack = vec![0x20, 3 + 3 + 41, 0, 0, 3 + 41, 18, 0, 41];
        connack.extend_from_slice(id);
        raw.connect(&connack);
        raw.cut();
        let connect = raw.connect(CONNACK);
        assert_eq!(connect.ends_with(id), kept);
    }
}
