//! A broker that accepts connections and closes them before it answers.

use aldis_mqtt::{Network, Options, Version};

use crate::common::raw::{CONNACK, Raw};
use crate::common::{at, options};

/// Waits that began where the ones of an old outage would have: seconds after three connections
/// that were closed, in an outage that had just begun.
#[test]
fn the_waits_begin_small_whatever_ended_the_connection_before() {
    let mut raw = Raw::new(Options {
        keep_alive_s: 0,
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    for outage in 0..200 {
        raw.wait(40_000);
        raw.cut();
        raw.open();
        for bound in [250, 500, 1_000] {
            raw.sent();
            raw.session.failed(Network::Closed, at(raw.now));
            let lost = raw.now;
            raw.open();
            let wait = raw.now - lost;
            assert!(wait <= bound, "outage {outage}: {wait} ms of {bound}");
        }
        raw.sent();
        raw.receive(CONNACK);
        assert!(raw.session.is_connected());
    }
}
