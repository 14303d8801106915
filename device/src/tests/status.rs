//! Online or offline, and stopping.

use aldis_mqtt::{Version, Versions};
use aldis_world::broker::codec::PacketType;
use aldis_world::broker::{Config, Hang, Keep};

use super::rig::{Rig, rig, settings};
use crate::Settings;

const STATUS: &str = "aldis/kitchen/status";

/// How long the device takes to stop.
fn stop(rig: &mut Rig) -> u64 {
    let start = rig.now;
    rig.stop();
    while !rig.session().is_stopped() {
        assert!(rig.now < start + 30_000, "it does not stop");
        rig.wait(10);
    }
    rig.settle();
    rig.now - start
}

/// A dashboard shows a device as offline that works, or the other way round.
#[test]
fn birth_and_will_are_on_one_topic() {
    for version in [Version::V4, Version::V5] {
        let settings = Settings {
            versions: Versions::Only(version),
            ..settings()
        };
        let mut rig: Rig = Rig::start(settings, Config::default());
        rig.until_connected();
        rig.wait(10);
        assert_eq!(rig.retained(STATUS), "online");
        let birth = rig.log.iter().find(|p| p.topic == STATUS).unwrap();
        assert!(birth.retain);
        rig.power_off();
        assert_eq!(rig.retained(STATUS), "offline");
        rig.boot();
        rig.until_connected();
        rig.wait(10);
        assert_eq!(rig.retained(STATUS), "online");
        for keep in [Keep::Nothing, Keep::Retained, Keep::Everything] {
            rig.broker.restart(keep, rig.now);
            rig.wait(10);
            rig.until_connected();
            rig.wait(10);
            assert_eq!(rig.retained(STATUS), "online", "{keep:?}");
        }
    }
}

#[test]
fn a_clean_stop_says_offline_at_once() {
    let mut rig = rig();
    rig.wait(20_000);
    assert_eq!(stop(&mut rig), 0);
    assert_eq!(rig.words(STATUS), ["online", "offline"]);
    assert_eq!(rig.retained(STATUS), "offline");
    let online = rig.words(STATUS).len();
    rig.wait(120_000);
    assert_eq!(rig.words(STATUS).len(), online);
    assert!(rig.session().is_stopped(), "it stays stopped");
}

#[test]
fn a_stop_without_a_connection_is_at_once() {
    let mut rig = rig();
    rig.begin_outage();
    rig.wait(20_000);
    assert_eq!(stop(&mut rig), 0);
    let mut rig = Rig::off(settings(), Config::default());
    rig.broker.hang_all(Hang::Both, 0);
    rig.boot();
    rig.wait(100);
    assert_eq!(stop(&mut rig), 0, "while CONNACK is awaited");
}

/// A hub that is being shut down as well must not hold the device.
#[test]
fn a_stop_is_bounded_when_the_broker_does_not_answer() {
    for hang in [Hang::Reads, Hang::Writes, Hang::Both] {
        let mut rig = rig();
        rig.wait(20_000);
        rig.broker.hang_all(hang, rig.now);
        assert!(stop(&mut rig) <= 2_000, "{hang:?}");
        rig.broker.hang_all(Hang::Not, rig.now);
        rig.wait(60_000);
        assert_eq!(rig.retained(STATUS), "offline", "{hang:?}");
    }
}

#[test]
fn a_stop_is_bounded_when_the_network_takes_nothing() {
    let mut rig = rig();
    rig.wait(20_000);
    rig.stalled = true;
    assert!(stop(&mut rig) <= 2_000);
    rig.wait(60_000);
    assert_eq!(rig.retained(STATUS), "offline", "the will says it");
}

/// DISCONNECT makes the broker forget the will: it must not overtake `offline`.
#[test]
fn offline_is_said_even_when_it_has_no_turn() {
    let config = Config {
        receive_maximum: 1,
        ..Config::default()
    };
    let mut rig: Rig = Rig::start(settings(), config);
    rig.wait(20_000);
    rig.broker.withhold(PacketType::PubAck, 0, u32::MAX);
    rig.wait(6_000);
    assert!(stop(&mut rig) <= 2_000);
    rig.wait(60_000);
    assert_eq!(rig.retained(STATUS), "offline");
}

/// The connection is lost while the device waits for the acknowledgement.
#[test]
fn a_stop_ends_with_the_connection() {
    let mut rig = rig();
    rig.wait(20_000);
    rig.broker.withhold(PacketType::PubAck, 0, u32::MAX);
    rig.stop();
    assert!(!rig.session().is_stopped());
    rig.wait(500);
    rig.cut();
    assert!(rig.session().is_stopped());
    rig.wait(120_000);
    assert!(rig.session().is_stopped());
    assert_eq!(rig.retained(STATUS), "offline");
}

#[test]
fn a_stop_waits_for_a_slow_broker() {
    let mut rig = rig();
    rig.latency = 300;
    rig.wait(20_000);
    let took = stop(&mut rig);
    assert!((600..=1_200).contains(&took), "{took} ms");
    rig.wait(1_000);
    assert_eq!(rig.words(STATUS).last().unwrap(), "offline");
}

#[test]
fn diag_comes_each_minute_with_what_the_board_knows() {
    let mut rig = rig();
    rig.board.vitals = crate::Vitals {
        reset: Some(aldis_protocol::ResetReason::Brownout),
        rssi_dbm: Some(-61),
        free: Some(100_000),
        free_min: Some(90_000),
        wifi_losses: Some(3),
        dhcp_losses: None,
    };
    rig.wait(600_500);
    let connected = rig.on("aldis/kitchen/diag")[0].0;
    let times: Vec<u64> = rig.on("aldis/kitchen/diag").iter().map(|d| d.0).collect();
    let minutes: Vec<u64> = (0..times.len() as u64)
        .map(|m| connected + m * 60_000)
        .collect();
    assert_eq!(times, minutes);
    assert!(times.len() >= 10);
    rig.diag(|diag| {
        assert_eq!(diag.boot, Some(1));
        assert_eq!(diag.reset, Some(aldis_protocol::ResetReason::Brownout));
        assert_eq!(diag.rssi_dbm, Some(-61));
        assert_eq!((diag.free, diag.free_min), (Some(100_000), Some(90_000)));
        let reconnects = diag.reconnects.unwrap();
        assert_eq!((reconnects.wifi, reconnects.dhcp), (Some(3), None));
        assert_eq!(diag.version, Some(env!("CARGO_PKG_VERSION")));
    });
    let uptime = rig.diag(|diag| diag.uptime_s.unwrap());
    assert_eq!(uptime, times.last().unwrap() / 1_000);
}
