//! `-d`: the lines of mosquitto's tools.

use crate::common::{BOTH, Mosquitto, publish, run, server, start};

/// The lines without the name of the client.
fn anonymous(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| match line.strip_prefix("Client ") {
            Some(rest) => {
                let (_, rest) = rest.split_once(' ').unwrap();
                format!("Client {rest}")
            }
            None => line.to_owned(),
        })
        .collect()
}

/// Somebody who knows mosquitto_pub's lines, or a script that reads them, would
/// be misled by others.
#[test]
fn pub_prints_the_lines_of_mosquitto_pub() {
    let broker = Mosquitto::start();
    for version in ["311", "5"] {
        for qos in ["0", "1", "2"] {
            for message in [
                &["-m", "hello"][..],
                &["-n", "-r"],
                &["-m", "again", "--repeat", "3", "-r"],
            ] {
                let [ours, theirs] = BOTH.map(|tool| {
                    let args = ["-t", "some/topic", "-d", "-V", version, "-q", qos];
                    let done = run(tool.at("pub", broker.port, args).args(message));
                    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
                    anonymous(done.text())
                });
                assert_eq!(ours, theirs, "-V {version} -q {qos} {message:?}");
            }
        }
    }
}

/// The same for mosquitto_sub's. At QoS 1 and 2 the message itself stands
/// elsewhere: we print it before the broker hears that we have it.
#[test]
fn sub_prints_the_lines_of_mosquitto_sub() {
    for version in ["311", "5"] {
        for (qos, end_of_exchange) in [("0", "testincr "), ("1", "PUBACK"), ("2", "PUBCOMP")] {
            let [ours, theirs] = BOTH.map(|tool| {
                let broker = Mosquitto::start();
                publish(
                    broker.port,
                    &["-t", "testincr", "-m", "kept", "-r", "-q", qos],
                );
                let args = [
                    "-t", "testincr", "-d", "-v", "-C", "3", "-V", version, "-q", qos,
                ];
                let sub = start(&mut tool.at("sub", broker.port, args), b"");
                let mut text = sub.until(end_of_exchange);
                for message in [&["-m", "t=24.1C, h=26.5%."][..], &["-n"]] {
                    let args = [&["-t", "testincr", "-q", qos][..], message].concat();
                    publish(broker.port, &args);
                    text += &sub.until(end_of_exchange);
                }
                let done = sub.done();
                assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
                let lines = anonymous(&(text + done.text()));
                let packets = |line: &&String| qos == "0" || line.starts_with("Client");
                let packets: Vec<_> = lines.iter().filter(packets).cloned().collect();
                let mut sorted = lines;
                sorted.sort();
                (packets, sorted)
            });
            assert_eq!(ours, theirs, "-V {version} -q {qos}");
        }
    }
}

/// A ping that is not shown, or not sent, hides why a connection was lost.
#[test]
fn pings_are_shown() {
    let broker = Mosquitto::start();
    let subs = BOTH.map(|tool| {
        let args = ["-t", "t", "-d", "-k", "5"];
        start(&mut tool.at("sub", broker.port, args), b"")
    });
    for sub in &subs {
        assert!(sub.line("PING").ends_with(" sending PINGREQ\n"));
        assert!(sub.line("PING").ends_with(" received PINGRESP\n"));
    }
}

/// The broker's last words say why it ended the connection.
#[test]
fn the_brokers_disconnect_is_shown() {
    // CONNACK, then DISCONNECT: the server is shutting down.
    let port = server(|_| Some(vec![0x20, 3, 0, 0, 0, 0xe0, 1, 0x8b]));
    for tool in BOTH {
        let sub = start(&mut tool.at("sub", port, ["-t", "t", "-d", "-V", "5"]), b"");
        assert_eq!(
            sub.line("DISCONNECT"),
            "Received DISCONNECT (139)\n",
            "{tool:?}"
        );
    }
}
