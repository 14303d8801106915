//! The embassy driver on embassy-net stacks that are wired together in memory.

mod lan;
mod time;

use aldis_mqtt::link::embassy::{EmbassyClock, TcpConnector};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::{
    Backoff, Buffers, Cause, Event, Network, Options, Publication, QoS, Session, SubscribeOptions,
    Timeouts, Version, Versions, Will,
};
use aldis_world::broker::Message;
use aldis_world::broker::codec::Qos;
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_time::{Duration, Timer};
use lan::{Dns, Lan, Order, address, lan, now};

type TestLink = Link<'static, TcpConnector<'static>, EmbassyClock>;

fn options() -> Options<'static> {
    Options {
        versions: Versions::Only(Version::V5),
        keep_alive_s: 5,
        timeouts: Timeouts {
            connect_ms: 10_000,
            answer_ms: 3_000,
        },
        backoff: Backoff {
            base_ms: 100,
            cap_ms: 1_000,
            ..Backoff::default()
        },
        will: Some(Will {
            topic: "will",
            payload: b"gone",
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Default::default(),
        }),
        ..Options::new("c")
    }
}

fn link(lan: &Lan, host: &'static str) -> TestLink {
    link_to(lan, host, 1883)
}

fn link_to(lan: &Lan, host: &'static str, port: u16) -> TestLink {
    let (session, connector) = session_and_connector(lan, host, port);
    Link::new(session, connector, EmbassyClock)
}

fn session_and_connector(
    lan: &Lan,
    host: &'static str,
    port: u16,
) -> (Session<'static>, TcpConnector<'static>) {
    let leak = |size| vec![0; size].leak();
    let buffers = Buffers::new(
        leak(1024),
        leak(4096),
        vec![aldis_mqtt::Slot::EMPTY; 64].leak(),
    );
    let session = Session::new(options(), buffers, 1, EmbassyClock.now()).unwrap();
    let connector = TcpConnector::new(lan.stack, leak(1024), leak(1024), host, port);
    (session, connector)
}

fn tell(event: &Event<'_>) -> String {
    match event {
        Event::Message(message) => {
            format!("message {}", String::from_utf8_lossy(message.payload))
        }
        Event::Connected { .. } => "connected".into(),
        Event::Disconnected { cause, .. } => format!("disconnected {cause:?}"),
        Event::Delivered { .. } => "delivered".into(),
        Event::Subscribed { .. } => "subscribed".into(),
        other => format!("{other:?}"),
    }
}

async fn next(link: &mut TestLink) -> String {
    let event = link.next().await;
    let told = tell(&event);
    let token = match event {
        Event::Message(message) => message.token,
        _ => None,
    };
    if let Some(token) = token {
        link.session().acknowledge(token);
    }
    told
}

/// Carries on until this was told; gives all that was.
async fn until(link: &mut TestLink, end: &str) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        told.push(next(link).await);
        if told.last().is_some_and(|text| text == end) {
            return told;
        }
        assert!(told.len() < 200, "no {end}: {told:?}");
    }
}

fn publish(link: &mut TestLink, payload: &str, qos: QoS) {
    let (session, now) = link.parts();
    let publication = Publication::new("out", payload.as_bytes()).qos(qos);
    session.publish(&publication, now).unwrap();
}

async fn subscribe(link: &mut TestLink) {
    let options = SubscribeOptions {
        qos: QoS::ExactlyOnce,
        ..Default::default()
    };
    link.session().subscribe("in", options, None).unwrap();
    until(link, "subscribed").await;
}

fn send(lan: &Lan, payload: &str, qos: Qos) {
    let message = Message::new("in", payload.as_bytes(), qos);
    lan.machines[0].broker.borrow_mut().publish(message, now());
}

/// How often the broker of a machine accepted this.
fn accepted(lan: &Lan, machine: usize, payload: &str) -> usize {
    let broker = lan.machines[machine].broker.borrow();
    let log = broker.log().iter();
    log.filter(|a| a.payload == payload.as_bytes()).count()
}

/// Messages at some QoS would be lost on a network without any fault.
#[test]
fn every_qos_goes_both_ways() {
    lan(async |lan| {
        let mut link = link(lan, "10.0.0.2");
        subscribe(&mut link).await;
        let long = "long ".repeat(160);
        for (ours, theirs) in [
            (QoS::AtMostOnce, Qos::AtMostOnce),
            (QoS::AtLeastOnce, Qos::AtLeastOnce),
            (QoS::ExactlyOnce, Qos::ExactlyOnce),
        ] {
            for payload in ["", "short", &long] {
                let before = accepted(lan, 0, payload);
                publish(&mut link, payload, ours);
                send(lan, payload, theirs);
                until(&mut link, &format!("message {payload}")).await;
                while link.session().pending() > 0 {
                    next(&mut link).await;
                }
                assert_eq!(accepted(lan, 0, payload), before + 1);
            }
        }
    });
}

/// A radio that loses everything without a word would look like a quiet broker.
#[test]
fn a_silent_cut_is_noticed_and_nothing_is_lost() {
    for (from, to) in [(true, true), (true, false), (false, true)] {
        lan(async |lan| {
            let mut link = link(lan, "10.0.0.2");
            subscribe(&mut link).await;
            lan.lose_device(from, to);
            let cut = now();
            publish(&mut link, "one", QoS::AtLeastOnce);
            publish(&mut link, "two", QoS::ExactlyOnce);
            send(lan, "one", Qos::AtLeastOnce);
            send(lan, "two", Qos::ExactlyOnce);
            let mut told = until(&mut link, "disconnected Silent").await;
            assert!(now() - cut <= 5_000 + 3_000 + 3_000, "{} ms", now() - cut);
            // Long enough for some attempts to fail.
            let end = Timer::after(Duration::from_secs(45));
            let failing = async {
                loop {
                    told.push(next(&mut link).await);
                }
            };
            assert!(matches!(select(failing, end).await, Either::Second(())));
            lan.lose_device(false, false);
            let healed = now();
            told.extend(until(&mut link, "connected").await);
            assert!(now() - healed <= 12_000, "{} ms", now() - healed);
            let got = |told: &[String], what: &str| told.iter().filter(|t| *t == what).count();
            while link.session().pending() > 0
                || got(&told, "message one") == 0
                || got(&told, "message two") == 0
            {
                told.push(next(&mut link).await);
            }
            assert_eq!(got(&told, "message two"), 1);
            assert_eq!(got(&told, "delivered"), 2);
            assert!(accepted(lan, 0, "one") >= 1);
            assert_eq!(accepted(lan, 0, "two"), 1);
        });
    }
}

/// A stack sends its SYN again after 1, 3, 7 and 15 s: a path that is back in between would
/// be found as late.
#[test]
fn a_path_that_is_back_is_found_soon() {
    for away_ms in [8_000, 14_000, 21_000, 26_000, 33_000] {
        lan(async |lan| {
            let (session, connector) = session_and_connector(lan, "10.0.0.2", 1883);
            let leak = |size| vec![0; size].leak();
            let connector = connector.with_knock(leak(16), leak(16));
            let mut link = Link::new(session, connector, EmbassyClock);
            subscribe(&mut link).await;
            lan.lose_device(true, true);
            publish(&mut link, "one", QoS::AtLeastOnce);
            let end = Timer::after(Duration::from_millis(away_ms));
            let failing = async {
                loop {
                    next(&mut link).await;
                }
            };
            assert!(matches!(select(failing, end).await, Either::Second(())));
            lan.lose_device(false, false);
            let healed = now();
            until(&mut link, "connected").await;
            assert!(now() - healed <= 2_200, "{away_ms}: {} ms", now() - healed);
            until(&mut link, "delivered").await;
        });
    }
}

/// A quiet device would not notice at all without keep-alive.
#[test]
fn keep_alive_notices_a_silent_cut_of_a_quiet_connection() {
    lan(async |lan| {
        let mut link = link(lan, "10.0.0.2");
        until(&mut link, "connected").await;
        // More than a minute in which only pings pass.
        let quiet = select(link.next(), Timer::after(Duration::from_secs(90))).await;
        assert!(matches!(quiet, Either::Second(())));
        lan.lose_device(true, true);
        let cut = now();
        until(&mut link, "disconnected Silent").await;
        assert!(now() - cut <= 5_000 + 3_000 + 3_000, "{} ms", now() - cut);
    });
}

/// A reset or closed connection must be left for a new one.
#[test]
fn the_other_side_s_end_is_told_and_survived() {
    for (order, network) in [
        (Order::Reset, Network::Reset),
        (Order::Close, Network::Closed),
    ] {
        lan(async |lan| {
            let mut link = link(lan, "10.0.0.2");
            for round in 0..5 {
                until(&mut link, "connected").await;
                let payload = format!("{round}");
                publish(&mut link, &payload, QoS::ExactlyOnce);
                lan.order(0, order);
                let end = now();
                until(
                    &mut link,
                    &format!("disconnected {:?}", Cause::Network(network)),
                )
                .await;
                assert!(now() - end <= 1_000, "{} ms", now() - end);
            }
            while link.session().pending() > 0 {
                next(&mut link).await;
            }
            for round in 0..5 {
                assert_eq!(accepted(lan, 0, &format!("{round}")), 1);
            }
        });
    }
}

/// The reason tells the user what to look at.
#[test]
fn what_keeps_it_from_opening_is_told() {
    lan(async |lan| {
        let mut link = link_to(lan, "10.0.0.2", 1884);
        assert_eq!(
            next(&mut link).await,
            "disconnected Network(ConnectionRefused)"
        );
    });
    lan(async |lan| {
        let mut link = link(lan, "broker.lan");
        assert_eq!(next(&mut link).await, "disconnected Network(Dns)");
        lan.set_down(true);
        assert_eq!(next(&mut link).await, "disconnected Network(Down)");
        lan.set_down(false);
        lan.dns.set(Dns::Says(address(0)));
        until(&mut link, "connected").await;
    });
    lan(async |lan| {
        // Nobody has this address.
        let mut link = link(lan, "10.0.0.99");
        assert_eq!(next(&mut link).await, "disconnected ConnectTimeout");
        assert_eq!(now(), 10_000);
    });
}

/// A broker that has moved would never be found again, were its name resolved once.
#[test]
fn the_name_is_resolved_at_each_attempt() {
    lan(async |lan| {
        lan.dns.set(Dns::Says(address(0)));
        let mut link = link(lan, "broker.lan");
        until(&mut link, "connected").await;
        lan.dns.set(Dns::Says(address(1)));
        lan.order(0, Order::Reset);
        until(&mut link, "disconnected Network(Reset)").await;
        publish(&mut link, "moved", QoS::AtLeastOnce);
        until(&mut link, "delivered").await;
        assert_eq!(accepted(lan, 1, "moved"), 1);
        assert_eq!(lan.queries.get(), 2);
    });
}

/// A name server that is away, or has gone mad, would take the broker with it.
#[test]
fn the_last_good_address_is_tried_where_the_name_fails() {
    for dns in [Dns::NoSuchName, Dns::Silent] {
        lan(async |lan| {
            lan.dns.set(Dns::Says(address(0)));
            let mut link = link(lan, "broker.lan");
            until(&mut link, "connected").await;
            lan.dns.set(dns);
            lan.order(0, Order::Reset);
            until(&mut link, "disconnected Network(Reset)").await;
            assert_eq!(next(&mut link).await, "connected", "{dns:?}");
        });
    }
}

/// The old machine cannot be reached even to be told that its connection ended:
/// waiting for that would be the end of the device.
#[test]
fn a_vanished_machine_does_not_keep_it_from_the_next_one() {
    lan(async |lan| {
        lan.dns.set(Dns::Says(address(0)));
        let mut link = link(lan, "broker.lan");
        until(&mut link, "connected").await;
        lan.switch_machine(0, true);
        // Longer than anybody remembers its hardware address.
        let away = Timer::after(Duration::from_secs(120));
        let failing = async {
            loop {
                next(&mut link).await;
            }
        };
        assert!(matches!(select(failing, away).await, Either::Second(())));
        lan.dns.set(Dns::Says(address(1)));
        let moved = now();
        until(&mut link, "connected").await;
        assert!(now() - moved <= 12_000, "{} ms", now() - moved);
    });
}

/// Waiting that starts anew with each dropped future would never end beside a
/// busy application.
#[test]
fn a_busy_application_does_not_keep_it_from_reconnecting() {
    lan(async |lan| {
        let mut link = link(lan, "10.0.0.2");
        until(&mut link, "connected").await;
        lan.switch_machine(0, true);
        let mut told = Vec::new();
        let busy = async |link: &mut TestLink, told: &mut Vec<String>| {
            let tick = Timer::after(Duration::from_millis(10));
            if let Either::First(text) = select(next(link), tick).await {
                told.push(text);
            }
        };
        while now() < 120_000 {
            busy(&mut link, &mut told).await;
        }
        lan.switch_machine(0, false);
        while told.last().is_none_or(|text| text != "connected") {
            busy(&mut link, &mut told).await;
            assert!(now() < 132_000, "{told:?}");
        }
    });
}

/// An attempt that starts anew, or is forgotten, when the future is dropped
/// would never succeed beside a busy application.
#[test]
fn opening_can_be_dropped_anywhere() {
    for host in ["10.0.0.2", "broker.lan"] {
        for polls in 1..60 {
            lan(async |lan| {
                lan.dns.set(Dns::Says(address(0)));
                let mut link = link(lan, host);
                // Dropped once, after so many polls of everything.
                let wait = async {
                    for _ in 0..polls {
                        yield_now().await;
                    }
                };
                if let Either::First(event) = select(link.next(), wait).await {
                    assert_eq!(tell(&event), "connected");
                } else {
                    assert_eq!(next(&mut link).await, "connected", "after {polls}");
                }
                // The attempt that was dropped counts as the last good one too.
                lan.dns.set(Dns::NoSuchName);
                lan.order(0, Order::Reset);
                until(&mut link, "disconnected Network(Reset)").await;
                assert_eq!(next(&mut link).await, "connected");
            });
        }
    }
}

/// A refusal that comes while nobody looks would be waited for until the bound.
#[test]
fn an_end_that_comes_between_two_calls_is_noticed() {
    lan(async |lan| {
        let mut link = link_to(lan, "10.0.0.2", 1884);
        // SYN goes out, and is refused while the future does not exist.
        let _ = select(link.next(), Timer::after(Duration::from_micros(1))).await;
        Timer::after(Duration::from_secs(1)).await;
        assert_eq!(
            next(&mut link).await,
            "disconnected Network(ConnectionRefused)"
        );
        assert!(now() < 1_100, "{} ms", now());
    });
}

/// A device that stops and starts at once must not cut its own farewell off:
/// the broker would publish the will.
#[test]
fn a_farewell_goes_out_before_the_next_connection() {
    lan(async |lan| {
        let mut link = link(lan, "10.0.0.2");
        until(&mut link, "connected").await;
        for _ in 0..3 {
            let (session, now) = link.parts();
            session.stop(now);
            until(&mut link, "disconnected Stopped").await;
            let (session, now) = link.parts();
            session.start(now);
            until(&mut link, "connected").await;
        }
        assert!(lan.machines[0].broker.borrow().retained("will").is_none());
        // The will is there: the test can fail.
        lan.order(0, Order::Reset);
        until(&mut link, "disconnected Network(Reset)").await;
        assert!(lan.machines[0].broker.borrow().retained("will").is_some());
    });
}
