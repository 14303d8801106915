//! The loop of a device on networks that are not as they should be.

mod lan;
#[path = "../../../../mqtt/tests/embassy/time.rs"]
mod time;

use aldis_device::Order;
use lan::{Lan, NAMES, NEVER, NOBODY};

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

/// A device that spins uses power, and keeps others from their work.
#[test]
fn the_device_sleeps_most_of_the_time() {
    for host in ["10.0.0.3", ABSENT[0], ABSENT[1], "broker.test"] {
        let life = Lan::new(host).live(3_600);
        let polls = life.polls.get() / 3_600;
        assert!((1..=8).contains(&polls), "{host}: {polls} times a second");
    }
}
