//! Networks that misbehave: DHCP, DNS and the cable.

use std::time::Duration;

use crate::namespace::{Namespace, OTHER, OURS};

/// The router comes up later than the device, and then takes its time.
#[test]
fn an_absent_or_slow_dhcp_server_is_waited_for() {
    let Some(network) = Namespace::new() else {
        return;
    };
    let _broker = network.broker(OURS);
    let mut machine = network.machine(OURS);
    let console = machine.start();
    console.wait_for_line("sensor: ok");
    let said = console.listen(Duration::from_secs(8));
    assert!(said.is_empty(), "{said:?}");
    let _dhcp = network.dnsmasq("10.77.0.50", OURS, &["--dhcp-reply-delay=2"]);
    let console = machine.console();
    console.wait_for_text("ip: 10.77.0.5");
    console.wait_for_text("mqtt: connected");
    network.wait_for_message(OURS, "testincr", |line| line.starts_with("t="));
}

/// The router was replaced: the next renewal is refused, and there is another address.
#[test]
fn an_address_that_changes_costs_the_connection_once() {
    let Some(network) = Namespace::new() else {
        return;
    };
    let _broker = network.broker(OURS);
    let dhcp = network.dnsmasq("10.77.0.50", OURS, &[]);
    let mut machine = network.machine(OURS);
    let console = machine.start();
    console.wait_for_text("ip: 10.77.0.5");
    console.wait_for_text("mqtt: connected");
    let mut diags = network.diags(OURS);
    dhcp.kill();
    network.forget_leases();
    let _dhcp = network.dnsmasq("10.77.0.80", OURS, &[]);
    // The lease is two minutes; it is renewed after one.
    let console = machine.console();
    let patience = Duration::from_secs(90);
    console.wait_within(patience, "another address", |line| {
        line.starts_with("ip: 10.77.0.8")
    });
    console.wait_for_text("mqtt: connected");
    diags.wait_for(|diag| diag.reconnects.and_then(|reconnects| reconnects.dhcp) >= Some(1));
}

/// A renewal that changes nothing costs nothing.
#[test]
fn a_renewal_keeps_the_connection() {
    let Some(network) = Namespace::new() else {
        return;
    };
    let _broker = network.broker(OURS);
    let mut dhcp = network.dnsmasq("10.77.0.50", OURS, &[]);
    let mut machine = network.machine(OURS);
    machine.start().wait_for_text("mqtt: connected");
    dhcp.wait_for_text("DHCPACK");
    let patience = Duration::from_secs(90);
    dhcp.wait_within(patience, "a renewal", |line| line.contains("DHCPACK"));
    let said = machine.console().listen(Duration::from_secs(5));
    assert!(said.iter().all(|line| line == "sensor: ok"), "{said:?}");
}

/// The name server knows nothing, then the wrong address, then the right one; and
/// then the broker moves.
#[test]
fn the_name_is_resolved_at_each_attempt() {
    let Some(network) = Namespace::new() else {
        return;
    };
    let broker = network.broker(OURS);
    let mut diags = network.diags(OURS);
    // One that does not exist.
    let mut dhcp = network.dnsmasq("10.77.0.50", "", &[]);
    let mut machine = network.machine("broker.test");
    let console = machine.start();
    console.wait_for_text("ip: ");
    console.wait_for_line("mqtt: not connected the broker's name has no address");
    // A machine on which nothing listens.
    drop(dhcp);
    dhcp = network.dnsmasq("10.77.0.50", OTHER, &[]);
    let console = machine.console();
    console.wait_for_line("mqtt: not connected nothing listens at the broker's address and port");
    drop(dhcp);
    dhcp = network.dnsmasq("10.77.0.50", OURS, &[]);
    machine
        .console()
        .wait_for_line("mqtt: connected broker.test:1883 v5");
    diags.wait_for(|diag| diag.reconnects.and_then(|reconnects| reconnects.dns) >= Some(1));
    drop(broker);
    machine.console().wait_for_text("mqtt: lost ");
    drop(dhcp);
    let _dhcp = network.dnsmasq("10.77.0.50", OTHER, &[]);
    let _broker = network.broker(OTHER);
    machine
        .console()
        .wait_for_line("mqtt: connected broker.test:1883 v5");
    network.wait_for_message(OTHER, "testincr", |line| line.starts_with("t="));
}

/// A name that nobody has to administrate.
#[test]
fn local_names_are_resolved_by_multicast() {
    let Some(network) = Namespace::new() else {
        return;
    };
    network.ip("route add 224.0.0.0/4 dev tap0");
    // Whichever of its addresses the name is given.
    let _broker = network.broker("0.0.0.0");
    let _dhcp = network.dnsmasq("10.77.0.50", OTHER, &[]);
    let mut machine = network.machine("hub.local");
    let console = machine.start();
    console.wait_for_text("mqtt: not connected ");
    let _names = network.avahi();
    machine
        .console()
        .wait_for_line("mqtt: connected hub.local:1883 v5");
}

/// The cable is out for longer than anybody waits.
#[test]
fn a_cable_that_is_out_is_noticed_and_survived() {
    let Some(network) = Namespace::new() else {
        return;
    };
    let _broker = network.broker(OURS);
    let _dhcp = network.dnsmasq("10.77.0.50", OURS, &[]);
    let mut machine = network.machine(OURS);
    machine.start().wait_for_text("mqtt: connected");
    for _ in 0..2 {
        network.ip("link set tap0 down");
        machine
            .console()
            .wait_for_line("mqtt: lost the broker does not answer");
        machine.console().listen(Duration::from_secs(5));
        network.ip("link set tap0 up");
        machine.console().wait_for_text("mqtt: connected");
        network.wait_for_message(OURS, "testincr", |line| line.starts_with("t="));
    }
}

/// A radio would be restarted because a broker is away, or never although nothing
/// comes through.
#[test]
fn an_absent_broker_is_told_from_silence() {
    let Some(network) = Namespace::new() else {
        return;
    };
    let _dhcp = network.dnsmasq("10.77.0.50", OURS, &[]);
    // Nobody has this address: its silence says nothing about the cable.
    let mut machine = network.machine("10.77.0.200");
    let console = machine.start();
    console.wait_for_text("ip: ");
    let said = console.listen(Duration::from_secs(75));
    let helped = |line: &String| line.starts_with("supervisor: ");
    assert!(!said.iter().any(helped), "{said:?}");
    // Nor does the gateway answer any more.
    network.ip("addr flush dev tap0");
    let patience = Duration::from_secs(100);
    machine.console().wait_within(patience, "help", |line| {
        line == "supervisor: nothing gets through, joining again"
    });
}
