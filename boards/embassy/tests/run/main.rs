//! The loop of a device on networks that are not as they should be.

mod lan;
#[path = "../../../../mqtt/tests/embassy/time.rs"]
mod time;

use aldis_device::{Order, Saved};
use aldis_flash::Store;
use aldis_protocol::{Diag, Lamp};
use aldis_world::flash::Flash;
use lan::{Hand, Lan, NAMES, NEVER, NOBODY};

/// On the local network, and anywhere else: in both places there is nobody.
const ABSENT: [&str; 2] = ["10.0.0.200", "192.0.2.1"];

/// The broker's address is a name, and its server slow: asked anew each second, it
/// would never be heard.
#[test]
fn a_slow_name_server_is_heard() {
    for names_ms in [30, 950, 1_050, 1_500, 5_000] {
        let life = Lan {
            names_ms,
            ..Lan::new("broker.test")
        }
        .live(60);
        let connected = life.said_at("mqtt: connected broker.test:1883 v5");
        assert!(
            connected.is_some_and(|at| at < 15_000),
            "{names_ms}: {connected:?}"
        );
    }
}

/// The chip restarts before the broker was told, not at all, or more than once.
#[test]
fn a_restart_on_command_comes_last() {
    let life = Lan {
        restarts: vec![30],
        ..Lan::new("broker.test")
    }
    .live(120);
    let restarts = life.restarts.borrow().clone();
    assert_eq!(restarts.len(), 1, "{restarts:?}");
    assert!((30_000..31_000).contains(&restarts[0]), "{restarts:?}");
    assert_eq!(life.on("aldis/dev/status"), ["online", "offline"]);
    assert_eq!(life.orders(), []);
}

/// The first of two name servers is off.
#[test]
fn a_dead_name_server_is_passed_over() {
    let life = Lan {
        names: vec![NOBODY, NAMES],
        ..Lan::new("broker.test")
    }
    .live(120);
    let connected = life.said_at("mqtt: connected");
    assert!(connected.is_some_and(|at| at < 40_000), "{connected:?}");
}

/// A radio would be restarted because a broker is away.
#[test]
fn an_absent_broker_is_no_reason_to_help_the_radio() {
    for host in ABSENT {
        for discreet in [false, true] {
            let life = Lan {
                discreet,
                ..Lan::new(host)
            }
            .live(3_600);
            assert_eq!(life.orders(), [], "{host} {discreet}");
        }
        // Where there is no gateway, nobody can be asked.
        let life = Lan {
            gateway: None,
            ..Lan::new(host)
        }
        .live(3_600);
        assert_eq!(life.orders(), [], "{host}");
    }
}

/// Nothing comes through: the supervisor helps, and stops when it does.
#[test]
fn silence_is_noticed_and_its_end_too() {
    for host in ABSENT {
        for discreet in [false, true] {
            let life = Lan {
                discreet,
                gateway_away: (100, 500),
                ..Lan::new(host)
            }
            .live(3_600);
            let orders = life.orders();
            assert!(
                (2..=4).contains(&orders.len()),
                "{host} {discreet}: {orders:?}"
            );
            assert!(
                orders.iter().all(|(at, _)| (150..510).contains(at)),
                "{orders:?}"
            );
            assert_eq!(orders[0].1, Order::Rejoin);
        }
    }
    // For ever: it proves nothing, so the chip stays up.
    let life = Lan {
        gateway_away: (0, NEVER),
        ..Lan::new(ABSENT[0])
    }
    .live(7_200);
    let orders = life.orders();
    assert!(orders.len() > 4, "{orders:?}");
    assert!(
        orders.iter().all(|(_, order)| *order != Order::Reset),
        "{orders:?}"
    );
}

/// A card that takes no frames: proven, whatever the stack had to say just then.
#[test]
fn a_card_that_takes_nothing_restarts_the_chip_at_last() {
    let base = || Lan::new(ABSENT[0]);
    for (what, lan) in [
        (
            "broker absent",
            Lan {
                full_from: 10,
                ..base()
            },
        ),
        (
            "connected",
            Lan {
                full_from: 100,
                ..Lan::new("10.0.0.3")
            },
        ),
        (
            "no gateway",
            Lan {
                full_from: 10,
                gateway: None,
                ..base()
            },
        ),
        (
            "before there is an address",
            Lan {
                full_from: 0,
                dhcp: true,
                ..base()
            },
        ),
        (
            "no answer of DHCP",
            Lan {
                full_from: 100,
                dhcp: true,
                ..base()
            },
        ),
    ] {
        let orders = lan.live(1_500).orders();
        let reset = orders.iter().find(|(_, order)| *order == Order::Reset);
        assert!(reset.is_some_and(|(at, _)| *at < 700), "{what}: {orders:?}");
        let before: Vec<Order> = orders.iter().map(|(_, order)| *order).collect();
        assert!(before.contains(&Order::Rejoin), "{what}: {orders:?}");
        assert!(before.contains(&Order::Reinitialise), "{what}: {orders:?}");
    }
}

/// The task of the network stack hangs: nobody but the watchdog can help.
#[test]
fn a_stack_that_hangs_is_not_fed() {
    let life = Lan {
        hangs_at: 100,
        ..Lan::new("10.0.0.3")
    }
    .live(600);
    assert!(
        (210_000..230_000).contains(&life.fed.get()),
        "{}",
        life.fed.get()
    );
    let life = Lan::new("10.0.0.3").live(600);
    assert!(life.fed.get() > 598_000);
}

/// A device that spins uses power, and keeps others from their work. A display is sent
/// a new picture each second, and all of it each five.
#[test]
fn the_device_sleeps_most_of_the_time() {
    for host in ["10.0.0.3", ABSENT[0], ABSENT[1], "broker.test"] {
        let without: Hand = |bus| bus.panel().unplug();
        for (hands, most) in [(vec![], 12), (vec![(0, without)], 8)] {
            let lan = Lan {
                hands,
                ..Lan::new(host)
            };
            let polls = lan.live(3_600).polls.get() / 3_600;
            assert!(
                (1..=most).contains(&polls),
                "{host}: {polls} times a second"
            );
        }
    }
}

/// The console says nothing, or the same again and again.
#[test]
fn each_change_is_told_once() {
    let life = Lan {
        commands: vec![(20, "on"), (25, "on"), (30, "off"), (35, "dance")],
        broker_restarts: 40,
        ..Lan::new("10.0.0.3")
    }
    .live(100);
    let mut lines = life.lines();
    lines.retain(|line| !line.contains("there is no network"));
    assert_eq!(
        lines[..5],
        [
            "boot: aldis 1 dev start 1",
            "lamp: off",
            "ip: 10.0.0.1",
            &*lines[3],
            &*lines[4]
        ]
    );
    lines[3..5].sort();
    assert_eq!(
        lines[3..5],
        ["mqtt: connected 10.0.0.3:1883 v5", "sensor: ok"]
    );
    assert_eq!(
        lines[5..],
        [
            "lamp: on",
            "lamp: off",
            "ignored: output: neither on nor off",
            &*lines[8],
            "mqtt: connected 10.0.0.3:1883 v5"
        ]
    );
    assert!(lines[8].starts_with("mqtt: lost the "), "{lines:?}");
    assert_eq!(
        *life.lit.borrow(),
        [Lamp::Off, Lamp::On, Lamp::On, Lamp::Off]
    );
    // A machine on which nothing listens, for an hour.
    let lines = Lan::new("10.0.0.2").live(3_600).lines();
    let told = lines.iter().filter(|line| line.contains("nothing listens"));
    assert_eq!(told.count(), 1, "{lines:?}");
}

/// Readings go out, and `diag` has what the board knows.
#[test]
fn what_is_measured_is_published() {
    let life = Lan::new("10.0.0.3").live(130);
    let readings = life.on("aldis/dev/climate").len();
    assert!((24..=27).contains(&readings), "{readings}");
    assert!(
        (60..=66).contains(&life.measured.get()),
        "{}",
        life.measured.get()
    );
    let diags = life.on("aldis/dev/diag");
    let diag = Diag::decode(diags.last().unwrap().as_bytes()).unwrap();
    assert_eq!(diag.free, Some(7));
    let reconnects = diag.reconnects.unwrap();
    assert_eq!((reconnects.wifi, reconnects.dhcp), (Some(3), Some(0)));
}

/// What is to be kept is kept, and a flash that takes nothing is told once.
#[test]
fn the_store_is_used() {
    let lan = Lan {
        commands: vec![(20, "on")],
        ..Lan::new("10.0.0.3")
    };
    let end = 48 * 4096;
    let mut store = Store::new(Flash::<4096>::new(48), 0..end).unwrap();
    lan.live_with(130, Some(&mut store));
    let saved = store.saved();
    assert_eq!((saved.lamp, saved.boot), (Lamp::On, 1));
    assert!((24..=27).contains(&saved.seq), "{saved:?}");
    let mut left = Vec::new();
    store.recall(512, |recalled| left.push(recalled.seq));
    assert_eq!(left, [saved.seq - 1], "the others were delivered");
    // Nobody is there: all of them are left for the next life, which tells it.
    let lan = Lan {
        saved: store.saved(),
        ..Lan::new(ABSENT[0])
    };
    lan.live_with(200, Some(&mut store));
    let lan = Lan {
        saved: store.saved(),
        ..Lan::new("10.0.0.3")
    };
    let life = lan.live_with(60, Some(&mut store));
    let of_before = life.on("aldis/dev/climate");
    let of_before = of_before
        .iter()
        .filter(|climate| climate.contains("\"taken\":2"));
    assert!(of_before.count() >= 38);
    let mut store = Store::new(Flash::<4096>::new(48), 0..end).unwrap();
    for page in 0..48 {
        store.flash().wear_out(page);
    }
    let life = Lan::new("10.0.0.3").live_with(130, Some(&mut store));
    let lines = life.lines();
    let told = lines.iter().filter(|line| line.starts_with("store: "));
    assert_eq!(told.count(), 1, "{lines:?}");
    assert!(life.on("aldis/dev/climate").len() >= 24);
}

/// Without an address nothing is tried: the waits would grow for nothing.
#[test]
fn without_an_address_nothing_is_tried() {
    let life = Lan {
        dhcp: true,
        ..Lan::new("10.0.0.3")
    }
    .live(600);
    let lines = life.lines();
    assert!(
        !lines.iter().any(|line| line.starts_with("mqtt:")),
        "{lines:?}"
    );
    assert!(life.measured.get() > 290);
}

/// Too many starts: the sensor is left alone, and tried again later.
#[test]
fn the_safe_mode_begins_and_ends() {
    let lan = |unstable| Lan {
        saved: Saved {
            unstable,
            ..Saved::default()
        },
        ..Lan::new("10.0.0.3")
    };
    let life = lan(5).live(590);
    assert!(life.said_at("boot: safe mode for ten minutes, ").is_some());
    assert_eq!(life.measured.get(), 0);
    let life = lan(5).live(620);
    let ends = life.said_at("boot: safe mode ends, ").unwrap();
    assert!((600_000..601_500).contains(&ends), "{ends}");
    assert!(life.measured.get() > 5);
    let life = lan(4).live(30);
    assert_eq!(life.said_at("boot: safe mode"), None);
}

/// The address goes, comes back, and is another one: each is told once, costs no more
/// than it must, and the connection is there as soon as it can be.
#[test]
fn addresses_come_and_go() {
    let life = Lan {
        addresses: vec![
            (100, None),
            (105, Some(1)),
            (200, Some(7)),
            (300, None),
            (900, Some(7)),
        ],
        ..Lan::new("10.0.0.3")
    }
    .live(1_000);
    let lines = life.lines();
    let about = |what: &str| -> Vec<&str> {
        let lines = lines.iter().map(String::as_str);
        lines.filter(|line| line.starts_with(what)).collect()
    };
    assert_eq!(
        about("ip: "),
        [
            "ip: 10.0.0.1",
            "ip: none",
            "ip: 10.0.0.1",
            "ip: 10.0.0.7",
            "ip: none",
            "ip: 10.0.0.7"
        ]
    );
    // No attempt in the ten minutes without one, so that the wait after is short.
    assert_eq!(
        about("mqtt: not connected"),
        ["mqtt: not connected there is no network"]
    );
    let said = life.said.borrow();
    let connected = |from: u64| {
        let line = said
            .iter()
            .find(|(at, line)| *at >= from && line.starts_with("mqtt: connected"));
        line.map_or(u64::MAX, |(at, _)| *at - from)
    };
    assert!(connected(200_000) < 3_000, "{said:?}");
    assert!(connected(900_000) < 3_000, "{said:?}");
    let readings = life.on("aldis/dev/climate");
    assert!(readings.len() >= 195, "{}", readings.len());
    let diags = life.on("aldis/dev/diag");
    let diag = Diag::decode(diags.last().unwrap().as_bytes()).unwrap();
    assert_eq!(diag.reconnects.unwrap().dhcp, Some(3));
}

/// Everything that a person reads is on the panel, and it is told when it is there.
#[test]
fn the_display_shows_what_there_is() {
    let lan = Lan {
        messages: vec![(20, r#"{"id":"7","from":"hall","text":"dinner"}"#)],
        presses: vec![(40_000, 100)],
        ..Lan::new("10.0.0.3")
    };
    let life = lan.live(60);
    assert!(lan.bus.panel().is_on());
    assert_eq!(lan.bus.panel().unknown(), 0);
    let states = life.on("aldis/dev/message/state");
    let told: Vec<_> = states.iter().map(|state| &state[..24]).collect();
    assert_eq!(
        told,
        [
            r#"{"id":"7","state":"recei"#,
            r#"{"id":"7","state":"shown"#,
            r#"{"id":"7","state":"read""#
        ]
    );
    let lines = life.lines();
    assert!(lines.contains(&"message: 7 received".into()), "{lines:?}");
    assert!(lines.contains(&"message: 7 read".into()), "{lines:?}");
}

/// A display that is pulled out, or holds the bus, stops something else.
#[test]
fn a_display_that_fails_harms_nothing_else() {
    let faults: [(Hand, Hand); 3] = [
        (
            |bus| bus.panel().unplug_after(300),
            |bus| bus.panel().replug(),
        ),
        (
            |bus| bus.panel().hold_low(true),
            |bus| bus.panel().hold_low(false),
        ),
        (|bus| bus.hangs.set(true), |bus| bus.hangs.set(false)),
    ];
    let well = Lan::new("10.0.0.3");
    let readings = well.live(130).on("aldis/dev/climate").len();
    let picture = well.bus.panel().picture();
    for (breaks, mends) in faults {
        let lan = Lan {
            commands: vec![(60, "on"), (70, "off")],
            hands: vec![(0, breaks), (80, mends)],
            ..Lan::new("10.0.0.3")
        };
        let life = lan.live(130);
        assert_eq!(life.on("aldis/dev/climate").len(), readings);
        assert_eq!(*life.lit.borrow(), [Lamp::Off, Lamp::On, Lamp::Off]);
        assert_eq!(lan.bus.panel().picture(), picture);
    }
    // Without one, nothing is said either.
    let lan = Lan {
        hands: vec![(0, |bus| bus.panel().unplug())],
        ..Lan::new("10.0.0.3")
    };
    let life = lan.live(130);
    assert_eq!(life.on("aldis/dev/climate").len(), readings);
    assert!(life.lines().iter().all(|line| !line.contains("display")));
}

/// Messages that a restart forgets.
#[test]
fn messages_are_kept_in_the_flash() {
    let mut store = Store::new(Flash::<4096>::new(48), 0..48 * 4096).unwrap();
    let lan = Lan {
        messages: vec![
            (20, r#"{"id":"7","text":"one"}"#),
            (21, r#"{"id":"8","text":"two"}"#),
        ],
        presses: vec![(30_000, 100)],
        ..Lan::new("10.0.0.3")
    };
    lan.live_with(60, Some(&mut store));
    let lan = Lan {
        saved: store.saved(),
        presses: vec![(30_000, 100)],
        ..Lan::new("10.0.0.3")
    };
    let life = lan.live_with(60, Some(&mut store));
    let states = life.on("aldis/dev/message/state");
    assert!(
        states.iter().all(|state| state.contains(r#""id":"8""#)),
        "{states:?}"
    );
    assert!(states.last().unwrap().contains("read"), "{states:?}");
}
