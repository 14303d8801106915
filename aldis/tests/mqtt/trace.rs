//! `-d`: the lines of mosquitto's tools.

use crate::common::{BOTH, Done, Mosquitto, Tool, publish, run, start};

/// The lines without the name of the client.
fn anonymous(done: &Done) -> Vec<String> {
    done.text()
        .lines()
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
                    anonymous(&done)
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
        for qos in ["0", "1", "2"] {
            let [ours, theirs] = BOTH.map(|tool| {
                let broker = Mosquitto::start();
                let retained = ["-t", "testincr", "-m", "kept", "-r", "-q", qos];
                publish(broker.port, &retained);
                let args = [
                    "-t", "testincr", "-v", "-d", "-C", "3", "-V", version, "-q", qos,
                ];
                let sub = start(&mut tool.at("sub", broker.port, args), b"");
                broker.subscribed();
                // The first has its exchange to an end before the next comes.
                let kept = sub.line("testincr kept");
                publish(broker.port, &["-t", "testincr", "-m", "one", "-q", qos]);
                let one = sub.line("testincr one");
                publish(broker.port, &["-t", "testincr", "-m", "two", "-q", "0"]);
                let done = sub.done();
                assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
                (kept, one, anonymous(&done))
            });
            assert_eq!(ours, theirs, "-V {version} -q {qos}");
        }
    }
}

/// Where everything stands in order, not a byte may differ but the client's id.
#[test]
fn whole_conversations_are_equal() {
    for version in ["311", "5"] {
        for qos in ["0", "1", "2"] {
            let [ours, theirs] = BOTH.map(|tool| {
                let broker = Mosquitto::start();
                let args = [
                    "-t", "testincr", "-d", "-v", "-C", "2", "-V", version, "-q", qos,
                ];
                let sub = start(&mut tool.at("sub", broker.port, args), b"");
                broker.subscribed();
                for payload in ["t=24.1C, h=26.5%.", ""] {
                    let args = ["-t", "testincr", "-q", qos, "-s"];
                    let publisher = start(
                        &mut Tool::Mosquitto.at("pub", broker.port, args),
                        payload.as_bytes(),
                    );
                    assert_eq!(publisher.done().code, Some(0));
                }
                let done = sub.done();
                assert_eq!(done.code, Some(0), "{done:?}");
                let lines = anonymous(&done);
                // The order of packets alone where messages stand elsewhere.
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

/// The packets of the broker's last words are shown too.
#[test]
fn the_brokers_disconnect_is_shown() {
    let broker = Mosquitto::start();
    let subs = BOTH.map(|tool| {
        let sub = start(
            &mut tool.at("sub", broker.port, ["-t", "t", "-d", "-V", "5"]),
            b"",
        );
        broker.subscribed();
        sub
    });
    broker.terminate();
    for sub in &subs {
        assert_eq!(sub.line("DISCONNECT"), "Received DISCONNECT (139)\n");
    }
}
